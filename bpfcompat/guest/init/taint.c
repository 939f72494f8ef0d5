/* The kernel's own word on its state: the number that it keeps of all that has tainted it (kernel/panic.c). */
#include "init.h"

static int taint_file = -1;
static long long taint_before = -1;

/* Returns the number, -1 where the kernel tells none. */
static long long taint(void)
{
	char text[32];
	ssize_t got = pread(taint_file, text, sizeof(text) - 1, 0);

	text[got > 0 ? got : 0] = 0;
	return got > 0 ? strtoll(text, NULL, 10) : -1;
}

/* The file stays open: a command may unmount /proc, or mount something above it. */
static void open_taint(void)
{
	taint_file = open("/proc/sys/kernel/tainted", O_RDONLY | O_CLOEXEC);
}

static void begin_taint(void)
{
	taint_before = taint();
}

static void tell_taint(void)
{
	say("TAINT", "%lld\t%lld", taint_before, taint());
}
