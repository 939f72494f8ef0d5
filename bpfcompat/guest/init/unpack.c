/*
 * A small payload is an archive on its disk, in the format that a kernel unpacks (newc): to mount a filesystem and read a folder of it
 * takes an emulated guest 95 ms after a restore, and this a quarter of that (Linux 6.1, QEMU 7.2).
 */
#include "init.h"

#define HEADER 110 /* bytes: a magic number, and 13 numbers of 8 hexadecimal digits */
#define MAGIC "070701"

static bool unpacked;
static int payload_disk = -1; /* open since before the guest was saved, and past the cache, which has what was on it then */

static struct {
	off_t at; /* where the disk is read on */
	size_t used, length;
	char window[64 * 1024] __attribute__((aligned(4096)));
} archive;

/* Makes bytes of the archive readable, `most` at the most; returns how many. */
static size_t some(const char **bytes, size_t most)
{
	if (archive.used == archive.length) {
		ssize_t got = pread(payload_disk, archive.window, sizeof(archive.window), archive.at);

		if (got <= 0)
			refuse("the payload disk cannot be read: %s", got < 0 ? strerror(errno) : "it ends too soon");
		archive.at += got;
		archive.length = (size_t)got;
		archive.used = 0;
	}
	if (most > archive.length - archive.used)
		most = archive.length - archive.used;
	*bytes = archive.window + archive.used;
	archive.used += most;
	return most;
}

static void take_bytes(char *to, size_t length)
{
	const char *bytes;

	for (size_t part; length > 0; to += part, length -= part) {
		part = some(&bytes, length);
		memcpy(to, bytes, part);
	}
}

/* What stands in an archive begins at a multiple of four. */
static void skip_padding(size_t before)
{
	char padding[4];

	take_bytes(padding, -before & 3);
}

static uint32_t number_at(const char *header, int index)
{
	uint32_t number = 0;

	for (const char *at = header + sizeof(MAGIC) - 1 + 8 * index, *end = at + 8; at < end; at++)
		number = number << 4 | hex_digit(*at);
	return number;
}

static void unpack_file(const char *path, mode_t mode, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	const char *bytes;

	if (fd < 0)
		refuse("%s cannot be unpacked: %s", path, strerror(errno));
	for (size_t part; size > 0; size -= part) {
		part = some(&bytes, size);
		write_whole(fd, path, bytes, part);
	}
	close(fd);
}

static void unpack_folder(const char *path, mode_t mode)
{
	static bool adds_bits; /* mkdir takes no set-group-id bit, and hands on that of the folder above */

	adds_bits |= (mode & (S_ISUID | S_ISGID)) != 0;
	if (mkdir(path, mode) < 0 ? errno != EEXIST : adds_bits && chmod(path, mode) < 0)
		refuse("%s cannot be unpacked: %s", path, strerror(errno));
}

static void unpack_link(const char *path, size_t size)
{
	char target[PATH_MAX];

	if (size >= sizeof(target))
		refuse("the link %s leads too far", path);
	take_bytes(target, size);
	target[size] = 0;
	if (symlink(target, path) < 0)
		refuse("the link %s cannot be unpacked: %s", path, strerror(errno));
}

/* Returns false at the archive's end. A folder that must keep its time comes again behind what is in it. */
static bool unpack_entry(void)
{
	char header[HEADER], name[PATH_MAX];
	const char *path = name + sizeof(PAYLOAD_ROOT) - 1;
	struct timespec changed = { 0 };
	size_t size, length;
	mode_t mode;

	take_bytes(header, sizeof(header));
	changed.tv_sec = number_at(header, 5);
	mode = number_at(header, 1);
	size = number_at(header, 6);
	length = number_at(header, 11);
	if (memcmp(header, MAGIC, sizeof(MAGIC) - 1) || length == 0 || length > sizeof(name))
		refuse("the payload is damaged");
	take_bytes(name, length);
	skip_padding(HEADER + length);
	if (!strcmp(name, "TRAILER!!!"))
		return false;
	if (name[length - 1] || strncmp(name, PAYLOAD_ROOT + 1, sizeof(PAYLOAD_ROOT) - 2) || path[-1] != '/')
		refuse("the payload has something for another place");
	if (!strcmp(path, REST_OF_JOB)) { /* only this program reads it, so it does not become a file */
		take_bytes(room_for_rest(size), size);
		skip_padding(size);
		return true;
	}
	if (S_ISLNK(mode))
		unpack_link(path, size);
	else if (S_ISDIR(mode))
		unpack_folder(path, mode & 07777);
	else
		unpack_file(path, mode & 07777, size);
	skip_padding(size);
	if (changed.tv_sec) {
		const struct timespec times[] = { changed, changed };

		utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
	}
	return true;
}

/* Unpacks what is on the payload's disk, if that is an archive. */
static bool unpack_payload(void)
{
	const char *first;
	mode_t mask;

	some(&first, sizeof(MAGIC) - 1);
	archive.used = 0;
	if (memcmp(first, MAGIC, sizeof(MAGIC) - 1))
		return false;
	if (chdir(INBOX) < 0)
		refuse("there is no place for the payload: %s", strerror(errno));
	mask = umask(0);
	while (unpack_entry())
		;
	umask(mask);
	unpacked = true;
	if (chdir("/") < 0)
		log_line("/: %s", strerror(errno));
	return true;
}
