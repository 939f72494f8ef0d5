/* Files and folders: copied to where the command may write, or linked to where it looks. */
#include "init.h"

static void keep_times(const char *path, const struct stat *status)
{
	const struct timespec times[] = { status->st_atim, status->st_mtim };

	utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

/* name: what the bytes are of, for whoever reads that they do not fit. */
static void write_whole(int fd, const char *name, const char *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t written = write(fd, bytes + done, length - done);

		if (written < 0)
			refuse("%s does not fit into the guest's memory: %s", name, strerror(errno));
		done += (size_t)written;
	}
}

static void copy_file(const char *from, const char *to, mode_t mode)
{
	char buffer[65536];
	ssize_t got;
	int source = open(from, O_RDONLY | O_CLOEXEC), target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (source < 0 || target < 0)
		refuse("%s cannot be copied to the working directory: %s", from, strerror(errno));
	while ((got = read(source, buffer, sizeof(buffer))) > 0)
		write_whole(target, from, buffer, (size_t)got);
	if (got < 0 || fchmod(target, mode) < 0)
		refuse("%s cannot be copied to the working directory: %s", from, strerror(errno));
	close(source);
	close(target);
}

/*
 * The command may write to its files, so they are copies; the payload itself is shared by all runs and read-only.
 * dated: with the times of the originals. A command's files have the time of the run: what is in no key must not shape a verdict.
 */
static void copy_tree(const char *from, const char *to, bool dated)
{
	DIR *directory = opendir(from);
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		char source[4096], target[4096], link[4096] = "";
		struct stat status;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (snprintf(source, sizeof(source), "%s/%s", from, entry->d_name) >= (int)sizeof(source) ||
		    snprintf(target, sizeof(target), "%s/%s", to, entry->d_name) >= (int)sizeof(target) || lstat(source, &status) < 0)
			refuse("%s/%s cannot be copied: %s", from, entry->d_name, strerror(errno));
		if (S_ISDIR(status.st_mode)) {
			bool made = mkdir(target, 0700) == 0;

			copy_tree(source, target, dated);
			if (made)
				chmod(target, status.st_mode & 07777);
		} else if (unlink(target) < 0 && errno != ENOENT) {
			refuse("%s cannot be replaced: %s", target, strerror(errno));
		} else if (S_ISLNK(status.st_mode)) {
			if (readlink(source, link, sizeof(link) - 1) < 0 || symlink(link, target) < 0)
				refuse("the link %s cannot be copied: %s", source, strerror(errno));
		} else {
			copy_file(source, target, status.st_mode & 07777);
		}
		if (dated)
			keep_times(target, &status);
	}
	if (directory)
		closedir(directory);
}

/* Links to the kit's files may give way; whatever else has that name stays. */
static bool give_way(const char *target)
{
	char link[4096] = "";

	return readlink(target, link, sizeof(link) - 1) > 0 && !strncmp(link, TOOLS_ROOT "/", sizeof(TOOLS_ROOT)) && unlink(target) == 0;
}

/*
 * Shared libraries stand in the payload as they stand on the host; here they are links, and nothing of the command's own root
 * is replaced. over: what is of the kit is, because these are newer: a program for glibc 2.38 does not start with 2.36.
 */
static void link_tree(const char *from, const char *to, bool over)
{
	DIR *directory = opendir(from);
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		char source[4096], target[4096];
		struct stat status;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (snprintf(source, sizeof(source), "%s/%s", from, entry->d_name) >= (int)sizeof(source) ||
		    snprintf(target, sizeof(target), "%s/%s", to, entry->d_name) >= (int)sizeof(target) || lstat(source, &status) < 0)
			refuse("%s/%s cannot be linked: %s", from, entry->d_name, strerror(errno));
		if (S_ISDIR(status.st_mode)) {
			mkdir(target, 0755);
			link_tree(source, target, over);
		} else if (symlink(source, target) < 0 && (errno != EEXIST || (over && give_way(target) && symlink(source, target) < 0))) {
			refuse("%s cannot be linked: %s", target, strerror(errno));
		}
	}
	if (directory)
		closedir(directory);
}
