/* A program as it would run on the host: its own words, in its own folder, among the files that it finds there. */
#include "init.h"

/* A file is shown where it stands on the host. */
static void share_file(const char *from, char *target)
{
	char *slash = strrchr(target, '/');
	struct stat status;

	*slash = 0;
	make_folders(target);
	*slash = '/';
	if (lstat(target, &status) == 0 && S_ISLNK(status.st_mode))
		unlink(target); /* /bin/ls is a link to busybox, which must not be replaced */
	close(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
	if (mount(from, target, NULL, MS_BIND, NULL) < 0)
		refuse("%s cannot be shown in the guest: %s", target, strerror(errno));
}

/* A folder can be written to; what is written stays in the guest's memory, and nothing is copied before. */
static bool lay_over(const char *from, const char *target, size_t number)
{
	char data[64], work[64], options[256];

	if (mkdir(WRITTEN, 0755) == 0 && mount("tmpfs", WRITTEN, "tmpfs", 0, "mode=0755") < 0)
		refuse("no memory for what the program writes: %s", strerror(errno));
	snprintf(data, sizeof(data), WRITTEN "/data-%zu", number);
	snprintf(work, sizeof(work), WRITTEN "/work-%zu", number);
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", from, data, work);
	mkdir(data, 0755);
	mkdir(work, 0755);
	return mount("overlay", target, "overlay", 0, options) == 0;
}

/*
 * copied: it is small. With Debian's cloud kernels overlayfs is a module, and to have it loaded takes an emulated guest 0.25 s, as long
 * as all else before a program starts.
 */
static void share_folder(const char *from, const char *target, size_t number, bool copied, const struct stat *status)
{
	char inbox[64];

	make_folders(target);
	if (unpacked) { /* where the program may write to it */
		snprintf(inbox, sizeof(inbox), INBOX "%s", from + strlen(PAYLOAD_ROOT));
		if (mount(inbox, target, NULL, MS_BIND, NULL) < 0)
			refuse("%s cannot be shown in the guest: %s", target, strerror(errno));
		return;
	}
	if (!copied && lay_over(from, target, number))
		return;
	if (mount("tmpfs", target, "tmpfs", 0, NULL) < 0) /* nothing of what stands there otherwise is seen */
		refuse("no memory for %s: %s", target, strerror(errno));
	copy_tree(from, target, true);
	chmod(target, status->st_mode & 07777);
	keep_times(target, status);
}

static void share_all(const struct job *job)
{
	char from[64], target[4096];
	struct stat status;

	for (size_t i = 0; i < job->share_count; i++) {
		snprintf(from, sizeof(from), PAYLOAD_ROOT "/shares/%zu", i);
		snprintf(target, sizeof(target), "%s%s", command_root, job->shares[i]);
		if (stat(from, &status) < 0)
			refuse("%s is not in the payload: %s", job->shares[i], strerror(errno));
		if (S_ISDIR(status.st_mode))
			share_folder(from, target, i, job->copied[i], &status);
		else
			share_file(from, target);
	}
	for (size_t i = 0; i < job->folder_count; i++) {
		snprintf(target, sizeof(target), "%s%s", command_root, job->folders[i]);
		make_folders(target);
	}
}

static _Noreturn void become_program(const struct job *job)
{
	char *const *arguments = (char *const *)job->arguments, *const *environment = (char *const *)job->environment;
	int problem;

	environ = (char **)environment; /* where execvp looks for PATH */
	if (chdir(job->directory) == 0) {
		if (strchr(job->program, '/'))
			execve(job->program, arguments, environment);
		else
			execvp(job->program, arguments);
	}
	problem = errno;
	dprintf(STDERR_FILENO, "bpfcompat: %s cannot be started in %s: %s\n", job->program, job->directory, strerror(problem));
	_exit(problem == ENOENT ? 127 : 126);
}
