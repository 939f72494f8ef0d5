/* The command's streams: the first part goes out at once, the last part at the end, all is counted. */
#include "init.h"

/* Of a live stream nothing is dropped: while there is no room, nothing is read, and whoever writes waits. */
static bool has_room(const struct stream *stream)
{
	return !stream->live || stream->head_length < KEPT;
}

/* What is still to be put on the wire. */
static uint64_t pending(const struct stream *stream)
{
	return (stream->live ? stream->head_length : stream->total) - stream->head_sent;
}

/* Takes what is in the pipe: the first KEPT bytes for the wire at once, of the rest the last KEPT for later. */
static void take(struct stream *stream)
{
	char buffer[65536];
	size_t offset = 0, room = KEPT - stream->head_length;
	ssize_t got = read(stream->in, buffer, stream->live && room < sizeof(buffer) ? room : sizeof(buffer));

	if (got <= 0) {
		if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			close(stream->in);
			stream->in = -1;
		}
		return;
	}
	if (stream->head_length < KEPT) {
		offset = KEPT - stream->head_length;
		if (offset > (size_t)got)
			offset = (size_t)got;
		memcpy(stream->head + stream->head_length, buffer, offset);
		stream->head_length += offset;
	}
	stream->total += offset;
	while (offset < (size_t)got) {
		size_t at = (stream->total - KEPT) % KEPT, part = KEPT - at;

		if (part > (size_t)got - offset)
			part = (size_t)got - offset;
		memcpy(stream->ring + at, buffer + offset, part);
		offset += part;
		stream->total += part;
	}
}

static bool all_live;

/* Bytes for the wire now. A port takes the processor from the command, so of a busy one it gets the first only. */
static size_t due(const struct stream *stream, bool quiet)
{
	size_t at_most = outbox_disk < 0 || all_live || stream->live || quiet || stream->head_length < LIVE ? stream->head_length : LIVE;

	return stream->head_sent < at_most ? at_most - stream->head_sent : 0;
}

static void forward(struct stream *stream, bool quiet)
{
	ssize_t written = write(stream->out, stream->head + stream->head_sent, due(stream, quiet));

	if (written > 0) {
		stream->head_sent += (size_t)written;
		if (stream->live && stream->head_sent * 2 >= stream->head_length) {
			stream->head_length -= stream->head_sent;
			memmove(stream->head, stream->head + stream->head_sent, stream->head_length);
			stream->head_sent = 0;
		}
	} else if (written < 0 && errno == EIO) {
		reopen(&stream->out, stream->port);
	}
}

/* Finds what was kept of a stream and is not on the wire, in its order; returns how much that is. */
static uint64_t rest_of(const struct stream *stream, struct piece pieces[3])
{
	uint64_t after_head = stream->live ? 0 : stream->total - stream->head_length;
	size_t kept = after_head < KEPT ? (size_t)after_head : KEPT;
	size_t start = after_head < KEPT ? 0 : after_head % KEPT;

	pieces[0] = (struct piece){ stream->head + stream->head_sent, stream->head_length - stream->head_sent };
	pieces[1] = (struct piece){ stream->ring + start, kept - start };
	pieces[2] = (struct piece){ stream->ring, start };
	return stream->head_length - stream->head_sent + kept;
}

static void send_rest(struct stream *stream)
{
	struct piece pieces[3];
	uint64_t rest = rest_of(stream, pieces);

	stream->sent = stream->live ? stream->total : stream->head_sent + rest;
	for (size_t i = 0; i < 3; i++)
		write_all(&stream->out, stream->port, pieces[i].data, pieces[i].length);
	tcdrain(stream->out);
}
