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

static _Noreturn void become_command(const struct job *job, const char *command, int stdout_pipe, int stderr_pipe)
{
	char *const arguments[] = { "bash", "-l", "-c", "--", (char *)command, NULL };
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(stdout_pipe, STDOUT_FILENO);
	dup2(stderr_pipe, STDERR_FILENO);
	close(null);
	write_file("/proc/self/oom_score_adj", "0");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	if (job->usual_limits && setrlimit(RLIMIT_MEMLOCK, &usual_memlock) < 0)
		dprintf(STDERR_FILENO, "bpfcompat: RLIMIT_MEMLOCK: %s\n", strerror(errno));
	if (!*command_root || chroot(command_root) == 0) {
		if (chdir(WORK_ROOT) == 0)
			execve("/bin/bash", arguments, (char *const *)job->environment);
		execve("/bpfcompat/bash", arguments, (char *const *)job->environment);
	}
	dprintf(STDERR_FILENO, "bpfcompat: bash cannot be started: %s\n", strerror(errno));
	_exit(127);
}

/* Returns the command's process. kept: where its streams' ends are put, to be shared with another process; NULL closes them. */
static pid_t start(const struct job *job, int kept[2])
{
	int pipe_out[2], pipe_err[2];
	pid_t child;

	if (pipe2(pipe_out, O_CLOEXEC) < 0 || pipe2(pipe_err, O_CLOEXEC) < 0)
		refuse("no pipe: %s", strerror(errno));
	child = fork();
	if (child < 0)
		refuse("no process: %s", strerror(errno));
	if (child == 0)
		become_command(job, job->command, pipe_out[1], pipe_err[1]);
	if (kept) {
		kept[0] = pipe_out[1];
		kept[1] = pipe_err[1];
	} else {
		close(pipe_out[1]);
		close(pipe_err[1]);
	}
	out.in = pipe_out[0];
	err.in = pipe_err[0];
	fcntl(out.in, F_SETFL, O_NONBLOCK);
	fcntl(err.in, F_SETFL, O_NONBLOCK);
	return child;
}
