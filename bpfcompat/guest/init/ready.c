/* A command that does not end by itself: its sign, what runs once it has come, and the signal that ends the command. */
#include "init.h"

static struct {
	const struct job *job;
	pid_t command, watcher, meanwhile;
	int notify;   /* the socket that sd_notify writes to; -1 if that is not the sign */
	int pipes[2]; /* the command's streams, kept open for what runs meanwhile */
	int64_t began;
	bool seen;
} ready = { .command = -1, .watcher = -1, .meanwhile = -1, .notify = -1, .pipes = { -1, -1 } };

static void enter_command_root(void)
{
	if ((*command_root && chroot(command_root) < 0) || chdir(WORK_ROOT) < 0)
		_exit(2);
}

/* Has the deepest folder on the way to a file tell what happens in it. */
static void listen_on_the_way(int changes, const char *path)
{
	char part[4096];

	snprintf(part, sizeof(part), "%s", path);
	for (;;) {
		char *slash = strrchr(part, '/');

		if (!slash)
			strcpy(part, ".");
		else
			slash[slash == part] = 0;
		if (inotify_add_watch(changes, part, IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF) >= 0 || !slash || slash == part)
			return;
	}
}

/* Ends as soon as a file is there. A process of its own, since the command may have another root. */
static _Noreturn void watch_file(const char *path)
{
	int changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct stat status;

	enter_command_root();
	for (;;) {
		struct pollfd waiting = { .fd = changes, .events = POLLIN };
		char told[4096];

		listen_on_the_way(changes, path);
		if (lstat(path, &status) == 0)
			_exit(0);
		poll(&waiting, 1, 1000); /* what the kernel itself makes in sysfs or cgroups, it tells nobody */
		while (read(changes, told, sizeof(told)) > 0)
			;
	}
}

/* What is there before the command can be no sign of it. */
static void refuse_early_file(const char *path)
{
	struct stat found;
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		enter_command_root();
		_exit(lstat(path, &found) == 0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
		refuse("%s cannot be looked for", path);
	if (WEXITSTATUS(status) == 1)
		refuse("%s is there before the command begins, so it can be no sign that it is ready", path);
}

/* Called before BEGIN: what cannot be set up is no verdict on the command. */
static void prepare_ready(struct job *job)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = NOTIFY_SOCKET };

	ready.job = job;
	if (job->ready_file)
		refuse_early_file(job->ready_file);
	if (!job->ready_notify)
		return;
	ready.notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ready.notify < 0 || bind(ready.notify, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(NOTIFY_SOCKET, 0666) < 0)
		refuse("%s cannot be made: %s", NOTIFY_SOCKET, strerror(errno));
	add_environment(job, "NOTIFY_SOCKET", NOTIFY_SOCKET);
}

static void close_kept_pipes(void)
{
	close(ready.pipes[0]);
	close(ready.pipes[1]);
	ready.pipes[0] = ready.pipes[1] = -1;
}

/* Sends the signal, as a terminal does, to all of the command's own group; unless it has ended by itself just now. */
static void end_command(void)
{
	siginfo_t ended = { 0 };

	if (waitid(P_PID, (id_t)ready.command, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == ready.command)
		return;
	say("SIGNALLED", "");
	kill(-ready.command, ready.job->ready_signal);
}

static void see_sign(void)
{
	if (ready.seen || ready.command < 0)
		return;
	ready.seen = true;
	say("SEEN", "%lld", (long long)(monotonic_ns() - ready.began));
	if (!ready.job->while_ready) {
		end_command();
		return;
	}
	ready.meanwhile = fork();
	if (ready.meanwhile == 0)
		become_command(ready.job, ready.job->while_ready,
			       (int[]){ open("/dev/null", O_RDONLY | O_CLOEXEC), ready.pipes[0], ready.pipes[1] });
	if (ready.meanwhile < 0)
		refuse("no process: %s", strerror(errno));
	close_kept_pipes();
}

static void begin_ready(pid_t command, int64_t began)
{
	ready.command = command;
	ready.began = began;
	if (!ready.job->ready_file)
		return;
	ready.watcher = fork();
	if (ready.watcher == 0)
		watch_file(ready.job->ready_file);
}

/* A process that is not the command has ended. */
static void ready_child_ended(pid_t pid, int status)
{
	if (pid == ready.watcher && status == 0)
		see_sign();
	if (pid != ready.meanwhile || ready.command < 0)
		return;
	say("MEANWHILE", "%d", status);
	end_command();
}

/* One datagram of sd_notify: lines of NAME=VALUE. What else comes is taken too: a full queue would hold up who sends. */
static void take_notice(void)
{
	char text[4096];
	ssize_t got = recv(ready.notify, text, sizeof(text) - 1, 0);

	if (got <= 0)
		return;
	text[got] = 0;
	for (char *rest, *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (!strcmp(line, "READY=1"))
			see_sign();
}
