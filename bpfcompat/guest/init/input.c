/* What the command reads, from the host window by window: its standard input, or what is typed at its terminal. */
#include "init.h"

/* Without a reader any more, what comes is dropped, as a pipe does it. */
static void close_input(void)
{
	if (typed.to >= 0)
		close(typed.to);
	typed.to = -1;
}

static void expect_input(size_t length)
{
	typed.expected = length;
	typed.length = typed.sent = 0;
	if (length == 0)
		close_input();
}

static void pass_input(void)
{
	ssize_t written = typed.to < 0 ? -1 : write(typed.to, typed.window + typed.sent, typed.length - typed.sent);

	if (written > 0)
		typed.sent += (size_t)written;
	else if (typed.to < 0 || (errno != EAGAIN && errno != EINTR)) {
		close_input();
		typed.sent = typed.length;
	}
	if (typed.sent == typed.length)
		say("TOOK", "");
}

static void take_input(char byte)
{
	typed.window[typed.length++] = byte;
	if (typed.length < typed.expected)
		return;
	pass_input();
}
