/* Commands that run while the programs are attached. */
#include "validator.h"

struct tail {
	char bytes[2 * TAIL];
	size_t length;
	unsigned long long total;
};

static bool take(int fd, struct tail *tail)
{
	ssize_t got = read(fd, tail->bytes + tail->length, TAIL);

	if (got <= 0)
		return false;
	tail->total += (unsigned long long)got;
	tail->length += (size_t)got;
	if (tail->length > TAIL) {
		memmove(tail->bytes, tail->bytes + tail->length - TAIL, TAIL);
		tail->length = TAIL;
	}
	return true;
}

static long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static pid_t start(const char *command, int *out, int *err)
{
	int pipes[2][2];
	pid_t child;

	if (pipe2(pipes[0], O_CLOEXEC) < 0 || pipe2(pipes[1], O_CLOEXEC) < 0)
		die("no pipe: %s", strerror(errno));
	child = fork();
	if (child < 0)
		die("no process: %s", strerror(errno));
	if (child == 0) {
		setsid();
		dup2(pipes[0][1], STDOUT_FILENO);
		dup2(pipes[1][1], STDERR_FILENO);
		execl("/bin/bash", "bash", "-lc", command, (char *)NULL);
		_exit(127);
	}
	close(pipes[0][1]);
	close(pipes[1][1]);
	*out = pipes[0][0];
	*err = pipes[1][0];
	return child;
}

static void put_tail(const char *name, const struct tail *tail)
{
	char total[64];

	key(name);
	json_text(tail->bytes, tail->length);
	snprintf(total, sizeof(total), "%s_bytes", name);
	put_number(total, (long long)tail->total);
}

static void run_test(const char *test)
{
	static struct tail out, err;
	const char *command = strchr(test, ':');
	long long began = milliseconds(), end = began + (long long)(atof(test) * 1000), left;
	struct pollfd ports[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool timed_out = false;
	int status = 0;
	pid_t child;

	if (!command)
		die("%s is not SECONDS:COMMAND", test);
	memset(&out, 0, sizeof(out));
	memset(&err, 0, sizeof(err));
	child = start(command + 1, &ports[0].fd, &ports[1].fd);
	/* What it leaves running with its output open ends with it: the clock is the command's own. */
	while (waitpid(child, &status, WNOHANG) == 0) {
		left = end - milliseconds();
		if (left <= 0) {
			timed_out = true;
			kill(-child, SIGKILL);
			waitpid(child, &status, 0);
			break;
		}
		if (poll(ports, 2, left < 20 ? (int)left : 20) <= 0)
			continue;
		if (ports[0].revents && !take(ports[0].fd, &out))
			ports[0].fd = -1;
		if (ports[1].revents && !take(ports[1].fd, &err))
			ports[1].fd = -1;
	}
	kill(-child, SIGKILL);
	for (int i = 0; i < 2; i++) {
		fcntl(ports[i].fd, F_SETFL, O_NONBLOCK);
		while (ports[i].fd >= 0 && take(ports[i].fd, i ? &err : &out))
			continue;
		close(ports[i].fd);
	}
	open_value(NULL, '{');
	put_number("wait_status", status);
	put_bool("timed_out", timed_out);
	put_number("duration_ms", milliseconds() - began);
	put_tail("stdout", &out);
	put_tail("stderr", &err);
	close_value('}');
}
