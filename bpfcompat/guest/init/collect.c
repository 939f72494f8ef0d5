/* What the job wants to have of the working directory when its command is over. */
#include "init.h"

static FILE *collect_notes;
static uint64_t collected;
static bool matched[COLLECT_LIMIT], cores_wanted;

/*
 * Whether a pattern names a path, or a folder that the path stands in. Both are relative to the working directory; in a
 * pattern `*`, `?` and [] stand for parts of one name, and `**` for any folders, or none.
 */
static bool names(const char *pattern, const char *path)
{
	const char *rest = strchrnul(pattern, '/'), *below = strchrnul(path, '/');
	char wanted[NAME_MAX + 1], name[NAME_MAX + 1];

	if (!*pattern)
		return true;
	snprintf(wanted, sizeof(wanted), "%.*s", (int)(rest - pattern), pattern);
	snprintf(name, sizeof(name), "%.*s", (int)(below - path), path);
	rest += *rest == '/';
	below += *below == '/';
	if (!strcmp(wanted, "**"))
		return names(rest, path) || (*path && names(pattern, below));
	return *path && fnmatch(wanted, name, 0) == 0 && names(rest, below);
}

/* Whether there may be something below a folder that a pattern names. */
static bool leads_to(const char *pattern, const char *folder)
{
	const char *rest = strchrnul(pattern, '/'), *below = strchrnul(folder, '/');
	char wanted[NAME_MAX + 1], name[NAME_MAX + 1];

	if (!*pattern || !*folder)
		return true;
	snprintf(wanted, sizeof(wanted), "%.*s", (int)(rest - pattern), pattern);
	snprintf(name, sizeof(name), "%.*s", (int)(below - folder), folder);
	if (!strcmp(wanted, "**"))
		return true;
	return fnmatch(wanted, name, 0) == 0 && leads_to(rest + (*rest == '/'), below + (*below == '/'));
}

static bool may_hold_wanted(const struct job *job, const char *folder)
{
	bool may = false;

	for (size_t i = 0; i < job->collect_count && !may; i++)
		may = leads_to(job->collect[i], folder);
	return may;
}

static bool is_wanted(const struct job *job, const char *path)
{
	bool wanted = false;

	for (size_t i = 0; i < job->collect_count; i++)
		if (names(job->collect[i], path))
			wanted = matched[i] = true;
	return wanted;
}

/* Whether core dumps are wanted; they then land in the working directory, wherever a process is when it dies. */
static void prepare_cores(const struct job *job)
{
	const char *folder = job->program ? job->directory : WORK_ROOT;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/core.name.1", job->program ? job->directory + 1 : "");
	cores_wanted = is_wanted(job, path + (job->program == NULL));
	if (!cores_wanted)
		return;
	snprintf(path, sizeof(path), "%s/core.%%e.%%p", folder);
	/* The kernel takes 127 bytes; a name alone stands for the folder of the process that dies. */
	write_file("/proc/sys/kernel/core_pattern", strlen(path) < 128 ? path : "core.%e.%p");
}

static void put_file(const char *path, const struct stat *status)
{
	char member[PATH_MAX + 16], buffer[65536];
	uint64_t left = (uint64_t)status->st_size;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		fprintf(collect_notes, "%s is not collected: %s%c", path, strerror(errno), 0);
		return;
	}
	snprintf(member, sizeof(member), "collected/%s", path);
	begin_member(member, left, status->st_mode);
	collected += left;
	while (left > 0) {
		ssize_t got = read(fd, buffer, left < sizeof(buffer) ? left : sizeof(buffer));

		if (got <= 0) {
			fprintf(collect_notes, "%s is not whole: its last %llu bytes could not be read%c", path, (unsigned long long)left, 0);
			memset(buffer, 0, sizeof(buffer));
			got = left < sizeof(buffer) ? (ssize_t)left : (ssize_t)sizeof(buffer);
		}
		put(buffer, (size_t)got);
		left -= (uint64_t)got;
	}
	fill_up(TAR_BLOCK);
	close(fd);
}

/*
 * Links to files come as the files. What a command mounts in the working directory is not looked at: it may never answer.
 * Of a program the patterns begin at the root, and its folders are mounts themselves.
 */
static void put_tree(const struct job *job, const char *folder, dev_t device)
{
	struct dirent **entries = NULL;
	int count = scandir(*folder ? folder : ".", &entries, NULL, by_name);

	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		char path[PATH_MAX];
		struct stat status;

		if (strcmp(name, ".") && strcmp(name, "..") &&
		    snprintf(path, sizeof(path), "%s%s%s", folder, *folder ? "/" : "", name) < (int)sizeof(path) &&
		    lstat(path, &status) == 0) {
			if (S_ISDIR(status.st_mode) && (status.st_dev == device || job->program) && may_hold_wanted(job, path))
				put_tree(job, path, device);
			else if (!S_ISDIR(status.st_mode) && is_wanted(job, path) && stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
				if ((uint64_t)status.st_size > job->collect_bytes - collected)
					fprintf(collect_notes, "%s (%llu bytes) is not collected: with it, more than collect_limit would come out%c",
						path, (unsigned long long)status.st_size, 0);
				else
					put_file(path, &status);
			}
		}
		free(entries[i]);
	}
	free(entries);
}

static void put_collected(const struct job *job)
{
	char *text = NULL;
	size_t length = 0;
	struct stat root;

	collect_notes = open_memstream(&text, &length);
	if (!collect_notes || chdir(job->program ? "/" : WORK_ROOT) < 0 || stat(".", &root) < 0)
		return;
	put_tree(job, "", root.st_dev);
	/* A pattern that names core dumps counts as met since the command began: most commands leave none. */
	for (size_t i = 0; i < job->collect_count; i++)
		if (!matched[i])
			fprintf(collect_notes, "nothing matches `collect: %s`%c", job->collect[i], 0);
	fclose(collect_notes);
	begin_member("notes", length, 0644);
	put(text, length);
	fill_up(TAR_BLOCK);
	free(text);
}
