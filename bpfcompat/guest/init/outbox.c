/* The outbox: a disk of this run's own that carries out, as one tar, what serial ports are too slow for. */
#include "init.h"

#define TAR_BLOCK 512
#define SECTORS 4096         /* written in multiples of this: no disk here has larger ones */
#define SIGN_OF_LIFE (8 << 20) /* bytes after which the host is told that there is more on its way */

static struct {
	uint64_t length; /* bytes put into it */
	uint64_t written;
	uint32_t crc;
	size_t used;
	bool failed;
	char buffer[256 * 1024] __attribute__((aligned(SECTORS)));
} outbox; /* initialised, its buffer would be in the file */

static void open_outbox(void)
{
	char device[300];

	/* O_DIRECT: what leaves needs none of the guest's memory. */
	outbox_disk = find_disk("outbox", device, sizeof(device)) ? open(device, O_WRONLY | O_DIRECT | O_CLOEXEC) : -1;
}

static void write_outbox(size_t length)
{
	for (size_t done = 0; done < length && !outbox.failed;) {
		ssize_t written = pwrite(outbox_disk, outbox.buffer + done, length - done, (off_t)(outbox.written + done));

		if (written > 0)
			done += (size_t)written;
		else if (written == 0 || errno != EINTR)
			outbox.failed = true;
	}
	if (outbox.failed)
		log_line("the outbox cannot be written: %s", strerror(errno));
	outbox.written += length;
	if (outbox.written % SIGN_OF_LIFE == 0)
		say("ENDED", "");
}

static void put(const char *data, size_t length)
{
	outbox.crc = crc32_add(outbox.crc, data, length);
	outbox.length += length;
	while (length > 0 && !outbox.failed) {
		size_t part = sizeof(outbox.buffer) - outbox.used;

		if (part > length)
			part = length;
		memcpy(outbox.buffer + outbox.used, data, part);
		outbox.used += part;
		data += part;
		length -= part;
		if (outbox.used == sizeof(outbox.buffer)) {
			write_outbox(outbox.used);
			outbox.used = 0;
		}
	}
}

/* What follows begins at a multiple of `unit`. */
static void fill_up(size_t unit)
{
	static const char zeros[SECTORS];

	put(zeros, (unit - outbox.length % unit) % unit);
}

static void put_header(const char *name, char type, uint64_t size, mode_t mode)
{
	char header[TAR_BLOCK + 1] = "";
	unsigned int sum = 0;

	strncpy(header, name, 99);
	snprintf(header + 100, 8, "%07o", mode & 07777);
	memcpy(header + 108, "0000000\0" "0000000", 16);
	snprintf(header + 124, 12, "%011llo", (unsigned long long)size);
	memcpy(header + 136, "00000000000\0" "        ", 20);
	header[156] = type;
	memcpy(header + 257, "ustar  ", 8); /* GNU's form: names of any length */
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	put(header, TAR_BLOCK);
}

static void begin_member(const char *name, uint64_t size, mode_t mode)
{
	if (strlen(name) > 99) {
		put_header("././@LongLink", 'L', strlen(name) + 1, 0644);
		put(name, strlen(name) + 1);
		fill_up(TAR_BLOCK);
	}
	put_header(name, '0', size, mode);
}

static void put_stream(const char *name, const struct stream *stream)
{
	struct piece pieces[3];
	uint64_t size = rest_of(stream, pieces);

	begin_member(name, size, 0644);
	for (size_t i = 0; i < 3; i++)
		put(pieces[i].data, pieces[i].length);
	fill_up(TAR_BLOCK);
}

/* Two empty blocks are the end of a tar. Returns whether all of it is on the disk. */
static bool close_outbox(void)
{
	static const char end[2 * TAR_BLOCK];

	put(end, sizeof(end));
	fill_up(SECTORS);
	if (outbox.used > 0)
		write_outbox(outbox.used);
	return !outbox.failed;
}
