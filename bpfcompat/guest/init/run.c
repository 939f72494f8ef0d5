/* While the command runs: whatever happens is waited for in one loop, to the command's end and END. */
#include "init.h"

/* Writes where a process is in the kernel to the console; of kernel threads, whose command line is empty, nothing. */
static void dump_process(int pid, int console)
{
	char name[64], text[4096];
	int fd;
	ssize_t got;

	snprintf(name, sizeof(name), "/proc/%d/cmdline", pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? 0 : read(fd, text, 200);
	if (fd >= 0)
		close(fd);
	if (got <= 0)
		return;
	for (ssize_t i = 0; i < got; i++)
		if ((unsigned char)text[i] < ' ')
			text[i] = ' ';
	dprintf(console, "process %d: %.*s\n", pid, (int)got, text);
	snprintf(name, sizeof(name), "/proc/%d/stack", pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? 0 : read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (got > 0)
		dprintf(console, "%.*s", (int)got, text);
}

/* The blocked tasks, and last, where a reader looks first, the command's own processes. Not sysrq's l: on one processor
 * that shows this program as it writes the l. */
static void dump_tasks(void)
{
	int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	DIR *processes = opendir("/proc");
	struct dirent *entry;

	write_file("/proc/sys/kernel/printk", "8");
	write_file("/proc/sysrq-trigger", "w");
	while (processes && console >= 0 && (entry = readdir(processes)))
		if (atoi(entry->d_name) > 1)
			dump_process(atoi(entry->d_name), console);
	if (processes)
		closedir(processes);
	if (console >= 0)
		close(console);
	tell_taint();
	say("DUMPED", "");
}

static bool told_to_stop;

/* Does what a line of the host asks for, if it is meant for this job. */
static void obey(const char *line)
{
	struct winsize size = { 0 };
	char word[8], asked[NONCE_SIZE];
	size_t length;
	int end = 0;

	if (sscanf(line, "%7[A-Z] %32[0-9a-f]%n", word, asked, &end) != 2 || strcmp(asked, nonce))
		return;
	line += end;
	if (!strcmp(word, "PING"))
		say("PONG", "");
	else if (!strcmp(word, "DUMP"))
		dump_tasks();
	else if (!strcmp(word, "IN") && sscanf(line, "%zu", &length) == 1 && length <= WINDOW)
		expect_input(length);
	else if (!strcmp(word, "SIZE") && sscanf(line, "%hu %hu", &size.ws_row, &size.ws_col) == 2)
		ioctl(typed.to, TIOCSWINSZ, &size);
	else if (!strcmp(word, "SIGN"))
		see_sign();
	else if (!strcmp(word, "STOP"))
		told_to_stop = true;
}

static void answer_host(void)
{
	static char line[64];
	static size_t used;
	char byte;

	while (read(control, &byte, 1) == 1) {
		if (typed.length < typed.expected) {
			take_input(byte);
		} else if (byte != '\n') {
			if (used < sizeof(line) - 1)
				line[used++] = byte;
		} else {
			line[used] = 0;
			used = 0;
			obey(line);
		}
	}
}

/* Reaps what has ended; true once the command itself has. */
static bool reap(pid_t command, int *status, struct rusage *usage)
{
	bool ended = false;
	struct rusage one;
	int code;
	pid_t pid;

	while ((pid = wait4(-1, &code, WNOHANG, &one)) > 0)
		if (pid == command) {
			*status = code;
			*usage = one;
			ended = true;
			ready.command = -1; /* what runs meanwhile is killed now, which says nothing of it */
		} else {
			ready_child_ended(pid, code);
		}
	return ended;
}

/* One turn of the loop: waits for any port, pipe or child. */
static void turn(int children, int timeout_ms)
{
	static bool quiet; /* the command has written nothing for a while */
	struct signalfd_siginfo ignored;
	struct pollfd ports[] = {
		{ .fd = has_room(&out) ? out.in : -1, .events = POLLIN },
		{ .fd = has_room(&err) ? err.in : -1, .events = POLLIN },
		{ .fd = due(&out, quiet) ? out.out : -1, .events = POLLOUT },
		{ .fd = due(&err, quiet) ? err.out : -1, .events = POLLOUT },
		{ .fd = children, .events = POLLIN },
		{ .fd = control, .events = POLLIN },
		{ .fd = ready.notify, .events = POLLIN },
		{ .fd = typed.sent < typed.length ? typed.to : -1, .events = POLLOUT },
	};

	bool waits = !quiet && (due(&out, true) || due(&err, true));
	int events = poll(ports, sizeof(ports) / sizeof(ports[0]), waits && timeout_ms < 0 ? QUIET_MS : timeout_ms);

	quiet = events == 0 || (quiet && !ports[0].revents && !ports[1].revents);
	if (events <= 0)
		return;
	if (ports[0].revents)
		take(&out);
	if (ports[1].revents)
		take(&err);
	if (ports[2].revents)
		forward(&out, quiet);
	if (ports[3].revents)
		forward(&err, quiet);
	if (ports[4].revents && read(children, &ignored, sizeof(ignored)) < 0)
		log_line("signalfd: %s", strerror(errno));
	if (ports[5].revents & (POLLHUP | POLLERR))
		reopen(&control, "/dev/ttyS1");
	else if (ports[5].revents)
		answer_host();
	if (ports[6].revents)
		take_notice();
	if (ports[7].revents)
		pass_input();
}

static uint64_t bytes_moved(void)
{
	return 2 * (out.total + err.total) - pending(&out) - pending(&err);
}

/* Of a live stream the host takes what it has time for, and until then the rest stays in the pipe. */
static bool waits_for_host(void)
{
	return (out.live && pending(&out)) || (err.live && pending(&err));
}

/* The command's clock must not run on while the serial port (0.5 MB/s under emulation) catches up. */
static bool tell_ended(bool told)
{
	if (told || pending(&out) + pending(&err) <= 4096)
		return told;
	say("ENDED", "");
	return true;
}

/* Sends what was kept and is not sent yet: through the outbox where there is one, which has the collected files, too. */
static void deliver(const struct job *job, bool told)
{
	uint64_t rest = pending(&out) + pending(&err);
	bool streams = !job->live && rest > 4096;

	/* The command's clock must not run on meanwhile. */
	if (!told && (rest > 4096 || job->collect_count))
		say("ENDED", "");
	if (outbox_disk >= 0 && (streams || job->collect_count)) {
		if (!job->live) {
			put_stream("stdout", &out);
			put_stream("stderr", &err);
		}
		if (job->collect_count)
			put_collected(job);
		if (close_outbox() && !job->live) {
			out.sent = out.head_sent;
			err.sent = err.head_sent;
			tcdrain(out.out);
			tcdrain(err.out);
			return;
		}
		if (outbox.failed)
			outbox.length = 0;
	}
	send_rest(&out);
	send_rest(&err);
}

/* What every run needs is made ready before the guest is saved: a restored one would have the code for it translated once more. */
static void prepare_run(void)
{
	/*
	 * Whoever writes into a pipe fills it before this program is woken to empty it: 10 MB of output take two thirds of the time
	 * (Linux 6.1, emulated). The command's processes are as all are.
	 */
	sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &(const struct sched_param){ 0 });
	open_random_numbers();
	open_taint();
	open_counters();
	/* What is read into memory that is not there yet has the kernel fault on its own account, which is other code than our faults. */
	if (mlockall(MCL_CURRENT) < 0 || munlockall() < 0)
		log_line("mlockall: %s", strerror(errno));
}

static void run(const struct job *job)
{
	struct rusage usage = { 0 };
	sigset_t child_ends;
	int status = 0, children;
	int64_t began, took, deadline;
	uint64_t moved = ~0ull;
	bool told = false;
	pid_t command;

	sigemptyset(&child_ends);
	sigaddset(&child_ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child_ends, NULL);
	children = signalfd(-1, &child_ends, SFD_CLOEXEC | SFD_NONBLOCK);
	begin_taint();
	begin_counting();
	say("BEGIN", "%s\t%s\t%s", kernel.release, kernel.machine, kernel.version);
	began = monotonic_ns();
	command = start(job, job->while_ready ? ready.pipes : NULL);
	if (job->ready)
		begin_ready(command, began);
	all_live = job->ready; /* the host may look for the sign in the streams */
	while (!reap(command, &status, &usage) && !told_to_stop)
		turn(children, -1);
	took = monotonic_ns() - began;

	told = tell_ended(told);
	/* What the command left behind must neither delay the verdict nor write after it. */
	close_kept_pipes();
	kill(-1, SIGKILL);
	for (deadline = 0; (out.in >= 0 || err.in >= 0) && (waits_for_host() || moved != bytes_moved() || monotonic_ns() < deadline);) {
		if (moved != bytes_moved())
			deadline = monotonic_ns() + 2000000000ll;
		moved = bytes_moved();
		turn(children, 100);
		reap(command, &status, &usage);
	}
	deliver(job, told);
	recover(&control, "/dev/ttyS1");
	tell_taint();
	tell_counted();
	say(told_to_stop ? "STOPPED" : "END", "%d\t%lld\t%lld\t%lld\t%ld\t%llu\t%llu\t%llu\t%llu\t%d\t%llu\t%08x", status, (long long)took,
	    usage.ru_utime.tv_sec * 1000000ll + usage.ru_utime.tv_usec, usage.ru_stime.tv_sec * 1000000ll + usage.ru_stime.tv_usec,
	    usage.ru_maxrss, (unsigned long long)out.total, (unsigned long long)out.sent, (unsigned long long)err.total,
	    (unsigned long long)err.sent, out.in < 0 && err.in < 0, (unsigned long long)outbox.length, outbox.crc);
	tcdrain(control);
}
