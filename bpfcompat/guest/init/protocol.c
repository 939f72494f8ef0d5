/* Control lines to the host on ttyS1, and the serial ports that all streams take. */
#include "init.h"

static uint32_t crc_table[4][256];

static void make_crc_table(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
		crc_table[0][byte] = crc;
	}
	for (int step = 1; step < 4; step++)
		for (int byte = 0; byte < 256; byte++)
			crc_table[step][byte] = crc_table[step - 1][byte] >> 8 ^ crc_table[0][crc_table[step - 1][byte] & 255];
}

/* Returns the checksum of some bytes and those after them. Four at a time: under emulation every step counts. */
static uint32_t crc32_add(uint32_t crc, const char *data, size_t length)
{
	crc = ~crc;
	for (; length >= 4; data += 4, length -= 4) {
		crc ^= (uint32_t)(unsigned char)data[0] | (uint32_t)(unsigned char)data[1] << 8 |
		       (uint32_t)(unsigned char)data[2] << 16 | (uint32_t)(unsigned char)data[3] << 24;
		crc = crc_table[3][crc & 255] ^ crc_table[2][crc >> 8 & 255] ^ crc_table[1][crc >> 16 & 255] ^ crc_table[0][crc >> 24];
	}
	for (; length > 0; data++, length--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ (unsigned char)*data) & 255];
	return ~crc;
}

static void log_line(const char *format, ...)
{
	char text[512] = "<4>bpfcompat: ";
	size_t prefix = strlen(text);
	va_list arguments;
	int kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	va_start(arguments, format);
	vsnprintf(text + prefix, sizeof(text) - prefix, format, arguments);
	va_end(arguments);
	if (kmsg >= 0) {
		if (write(kmsg, text, strlen(text)) < 0) {
			/* There is no one left to tell. */
		}
		close(kmsg);
	}
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		log_line("%s: %s", path, strerror(errno));
	close(fd);
}

static struct termios as_opened; /* every port's settings then */

/* Opens a serial port raw. Called again where a command has changed its settings or hung it up. */
static int open_port(const char *path)
{
	struct termios settings;
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (tcgetattr(fd, &settings) == 0) {
		cfmakeraw(&settings);
		cfsetspeed(&settings, B115200);
		settings.c_cflag |= CLOCAL | CREAD;
		settings.c_cflag &= ~CRTSCTS;
		tcsetattr(fd, TCSANOW, &settings);
		tcgetattr(fd, &as_opened);
	}
	tcflow(fd, TCOON);
	return fd;
}

static void reopen(int *fd, const char *path)
{
	int fresh = open_port(path);

	if (fresh < 0)
		return;
	if (*fd >= 0)
		close(*fd);
	*fd = fresh;
}

/* Makes a port write as we want it, whatever a command has done to it. To open it anew takes a restored guest 2 ms. */
static void recover(int *fd, const char *path)
{
	struct termios settings = { 0 };

	if (tcgetattr(*fd, &settings) < 0 || memcmp(&settings, &as_opened, sizeof(settings)) || tcflow(*fd, TCOON) < 0)
		reopen(fd, path);
}

static void write_all(int *fd, const char *path, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t written = write(*fd, data, length);

		if (written > 0) {
			data += written;
			length -= (size_t)written;
		} else if (written < 0 && errno == EAGAIN) {
			struct pollfd waiting = { .fd = *fd, .events = POLLOUT };

			/* A command can stop the port's output (tcflow); the fresh settings start it again. */
			if (poll(&waiting, 1, 1000) == 0)
				reopen(fd, path);
		} else if (written < 0 && errno == EIO) {
			reopen(fd, path); /* hung up by a session leader that had made it its terminal */
		} else if (written < 0 && errno != EINTR) {
			return;
		}
	}
}

static void say(const char *kind, const char *format, ...)
{
	char line[2048];
	int length = snprintf(line, sizeof(line), "BPFCOMPAT\t" PROTOCOL "\t%s\t%s\t", kind, nonce);
	va_list arguments;

	va_start(arguments, format);
	length += vsnprintf(line + length, sizeof(line) - 64 - (size_t)length, format, arguments);
	va_end(arguments);
	if (length > (int)sizeof(line) - 65)
		length = (int)sizeof(line) - 65; /* vsnprintf says what it would have written */
	for (int i = 0; i < length; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	length += snprintf(line + length, 16, "\t%08x\n", crc32_add(0, line, (size_t)length));
	write_all(&control, "/dev/ttyS1", line, (size_t)length);
}

static int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void stop_machine(void)
{
	sync();
	reboot(RB_AUTOBOOT); /* QEMU runs with -no-reboot: a reset ends it at once, with or without ACPI */
	for (;;)
		pause();
}

static void refuse(const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_line("%s", text);
	say("FAIL", "%s", text);
	for (;;)
		pause();
}
