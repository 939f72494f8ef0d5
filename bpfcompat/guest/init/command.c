/* The command: its environment, its process, its pipes. */
#include "init.h"

/* The command counts on these modules; where one cannot be loaded it is not run, and there is no verdict on it. */
static void load_wanted_modules(const struct job *job)
{
	for (size_t i = 0; i < job->module_count; i++) {
		char *const arguments[] = { "modprobe", "--", (char *)job->modules[i], NULL };
		int status = -1;
		pid_t child = fork();

		if (child == 0) {
			execve("/usr/sbin/modprobe", arguments, (char *const[]){ NULL });
			_exit(127);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
			refuse("the module %s cannot be loaded on this kernel", job->modules[i]);
	}
}

static void add_environment(struct job *job, const char *name, const char *value)
{
	char *entry;

	if (asprintf(&entry, "%s=%s", name, value ? value : "") < 0)
		refuse("out of memory");
	job->environment[job->environment_length++] = entry;
}

static _Noreturn void become_command(const struct job *job, const char *command, const int streams[3])
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	char *const shell[] = { "bash", "-l", "-c", "--", (char *)command, NULL };
	char *const interactive[] = { "bash", "-l", "-i", NULL };
	char *const *arguments = job->terminal.ws_row ? interactive : shell;
	sigset_t none;

	setsid();
	if (job->terminal.ws_row)
		ioctl(streams[0], TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(streams[i], i);
	write_file("/proc/self/oom_score_adj", "0");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	if (job->usual_limits && setrlimit(RLIMIT_MEMLOCK, &usual_memlock) < 0)
		dprintf(STDERR_FILENO, "bpfcompat: RLIMIT_MEMLOCK: %s\n", strerror(errno));
	if (cores_wanted && setrlimit(RLIMIT_CORE, &unlimited) < 0)
		dprintf(STDERR_FILENO, "bpfcompat: RLIMIT_CORE: %s\n", strerror(errno));
	if (!*command_root || chroot(command_root) == 0) {
		if (job->program)
			become_program(job);
		if (chdir(WORK_ROOT) == 0)
			execve("/bin/bash", arguments, (char *const *)job->environment);
		execve("/bpfcompat/bash", arguments, (char *const *)job->environment);
	}
	dprintf(STDERR_FILENO, "bpfcompat: bash cannot be started: %s\n", strerror(errno));
	_exit(127);
}

/* What the command has as its streams; ours[] are the other ends. */
static void make_streams(const struct job *job, int theirs[3], int ours[3])
{
	int pipes[3][2];

	theirs[0] = -1;
	ours[0] = -1;
	if (job->terminal.ws_row) {
		ours[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (ours[1] < 0 || unlockpt(ours[1]) < 0 || (theirs[0] = ioctl(ours[1], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
			refuse("no terminal: %s", strerror(errno));
		ioctl(ours[1], TIOCSWINSZ, &job->terminal);
		theirs[1] = theirs[2] = theirs[0];
		ours[0] = fcntl(ours[1], F_DUPFD_CLOEXEC, 0);
		ours[2] = -1;
		return;
	}
	for (int i = job->input ? 0 : 1; i < 3; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			refuse("no pipe: %s", strerror(errno));
		theirs[i] = pipes[i][i == 0 ? 0 : 1];
		ours[i] = pipes[i][i == 0 ? 1 : 0];
	}
	if (!job->input)
		theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Returns the command's process. kept: where its streams' ends are put, to be shared with another process; NULL closes them. */
static pid_t start(const struct job *job, int kept[2])
{
	int theirs[3], ours[3];
	pid_t child;

	make_streams(job, theirs, ours);
	prepare_cores(job);
	child = fork();
	if (child < 0)
		refuse("no process: %s", strerror(errno));
	if (child == 0)
		become_command(job, job->command, theirs);
	for (int i = 0; i < 3; i++) {
		if (i > 0 && kept)
			kept[i - 1] = theirs[i];
		else if (i == 0 || theirs[i] != theirs[0])
			close(theirs[i]);
		if (ours[i] >= 0)
			fcntl(ours[i], F_SETFL, O_NONBLOCK);
	}
	typed.to = ours[0];
	out.in = ours[1];
	err.in = ours[2];
	return child;
}
