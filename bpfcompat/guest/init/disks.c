/* Disks: told apart by their serial numbers, mounted, and shown where the command looks. */
#include "init.h"

/* Disks are told apart by their serial numbers: the order in which a kernel finds them is its own affair. */
static bool find_disk(const char *serial, char *device, size_t size)
{
	DIR *disks = opendir("/sys/block");
	struct dirent *entry;
	bool found = false;

	while (disks && !found && (entry = readdir(disks))) {
		char path[300], seen[32] = "";
		int fd;

		snprintf(path, sizeof(path), "/sys/block/%s/serial", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		found = read(fd, seen, sizeof(seen) - 1) > 0 && !strcmp(strtok(seen, "\n") ?: "", serial);
		close(fd);
		snprintf(device, size, "/dev/%s", entry->d_name);
	}
	if (disks)
		closedir(disks);
	return found;
}

static char payload_device[300]; /* found before the guest is saved; empty where there is none */

static bool mount_disk(const char *device, const char *target)
{
	return mount(device, target, "ext4", MS_RDONLY | MS_NODEV, "noload") == 0;
}

static void make_folders(const char *path)
{
	char part[4096];

	for (const char *at = path; *at; at++) {
		const char *slash = strchrnul(at + 1, '/');

		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		mkdir(part, 0755);
		if (!*slash)
			break;
		at = slash - 1;
	}
}

/* Shows something of this root in the command's own, where it has one. */
static bool show(const char *from, const char *to)
{
	char target[4096];
	struct stat status;

	snprintf(target, sizeof(target), NEW_ROOT "%s", to);
	make_folders(target);
	if (stat(from, &status) == 0 && S_ISREG(status.st_mode)) { /* a file is shown on a file */
		rmdir(target);
		close(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
	}
	return mount(from, target, NULL, MS_BIND | MS_REC, NULL) == 0;
}

/* Of a userland's own modules none is hidden: they stand above those that came with the kernel, and depmod may write. */
static void show_modules(void)
{
	static const char *const places[] = { ROOTFS "/lib/modules", ROOTFS "/usr/lib/modules" };
	const char *own = NULL;
	struct stat status;
	char options[512];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !own; i++)
		if (stat(places[i], &status) == 0 && S_ISDIR(status.st_mode))
			own = places[i];
	if (access(MODULES, F_OK) < 0)
		return;
	snprintf(options, sizeof(options), "lowerdir=%s%s" MODULES ",upperdir=" ROOTFS_WRITTEN "/modules,workdir=" ROOTFS_WRITTEN
		 "/modules-work", own ? own : "", own ? ":" : "");
	mkdir(ROOTFS_WRITTEN "/modules", 0755);
	mkdir(ROOTFS_WRITTEN "/modules-work", 0755);
	make_folders(NEW_ROOT "/lib/modules");
	if (mount("overlay", NEW_ROOT "/lib/modules", "overlay", 0, options) < 0)
		log_line("/lib/modules cannot be shown in guest.rootfs: %s", strerror(errno));
}

static void write_if_empty(const char *path, const char *text)
{
	struct stat status;
	int fd;

	if (stat(path, &status) == 0 && status.st_size > 0)
		return;
	make_folders(NEW_ROOT "/etc");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		log_line("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Without these files (`docker export` leaves them out or empty) nothing there resolves `localhost`. */
static void complete_etc(void)
{
	write_if_empty(NEW_ROOT "/etc/hosts", "127.0.0.1 localhost bpfcompat\n::1 localhost ip6-localhost ip6-loopback\n");
	write_if_empty(NEW_ROOT "/etc/resolv.conf", "");
}

/* The kernel's configuration, which libbpf reads for `extern ... __kconfig`. */
static void link_boot(void)
{
	char name[sizeof(kernel.release) + 32];

	uname(&kernel);
	snprintf(name, sizeof(name), "/boot/config-%s", kernel.release);
	if (access(name, F_OK) == 0 && !show(name, name))
		log_line("%s cannot be shown in guest.rootfs: %s", name, strerror(errno));
}

/*
 * The project's userland is a disk that nobody may write to, so what the command writes goes to memory above it. The
 * kernel loads overlayfs by itself, with the modprobe of this root. bash is shown as well: a userland may have none.
 */
static void mount_rootfs(void)
{
	static const char *const shown[][2] = {
		{ "/proc", "/proc" }, { "/sys", "/sys" }, { "/dev", "/dev" }, { "/tmp", "/tmp" }, { "/run", "/run" },
		{ WORK_ROOT, WORK_ROOT }, { "/bin/bash", "/bpfcompat/bash" },
	};
	static const char options[] = "lowerdir=" ROOTFS ",upperdir=" ROOTFS_WRITTEN "/data,workdir=" ROOTFS_WRITTEN "/work";

	command_root = NEW_ROOT;
	if (mount("tmpfs", ROOTFS_WRITTEN, "tmpfs", 0, "mode=0755") < 0 || mkdir(ROOTFS_WRITTEN "/data", 0755) < 0 ||
	    mkdir(ROOTFS_WRITTEN "/work", 0755) < 0 || mount("overlay", NEW_ROOT, "overlay", 0, options) < 0) {
		log_line("guest.rootfs needs overlayfs, which this kernel cannot mount: %s", strerror(errno));
		stop_machine();
	}
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (!show(shown[i][0], shown[i][1])) {
			log_line("%s cannot be shown in guest.rootfs: %s", shown[i][0], strerror(errno));
			stop_machine();
		}
	show_modules();
	complete_etc();
	if (access("/boot", F_OK) == 0)
		link_boot();
}

/* Links everything that stands in a folder from another one; what has that name there already stays. */
static void link_entries(const char *from, const char *to)
{
	DIR *directory = opendir(from);
	struct dirent *entry;

	if (directory)
		make_folders(to);
	while (directory && (entry = readdir(directory))) {
		char source[4096], target[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(source, sizeof(source), "%s/%s", from, entry->d_name);
		snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
		if (symlink(source, target) < 0 && errno != EEXIST)
			log_line("%s: %s", target, strerror(errno));
	}
	if (directory)
		closedir(directory);
}

/* The folder of this kernel's modules is one that can be written to (depmod, modules of one's own); what is in it are links. */
static void link_modules(void)
{
	char from[sizeof(MODULES) + sizeof(kernel.release)], to[sizeof("/lib/modules/") + sizeof(kernel.release)];

	uname(&kernel);
	snprintf(from, sizeof(from), MODULES "/%s", kernel.release);
	snprintf(to, sizeof(to), "/lib/modules/%s", kernel.release);
	mkdir(to, 0755);
	link_entries(from, to);
}

/* The headers' packages refer to each other and to kbuild's programs below /usr. */
static void link_headers(void)
{
	char to[sizeof(NEW_ROOT) + sizeof("/lib/modules/") + sizeof(kernel.release)];

	if (access(HEADERS "/modules", F_OK) < 0)
		return;
	if (*command_root && !show(HEADERS, HEADERS)) {
		log_line("the kernel's headers cannot be shown in guest.rootfs: %s", strerror(errno));
		stop_machine();
	}
	snprintf(to, sizeof(to), "%s/usr/src", command_root);
	link_entries(HEADERS "/src", to);
	snprintf(to, sizeof(to), "%s/usr/lib", command_root);
	link_entries(HEADERS "/lib", to);
	snprintf(to, sizeof(to), "%s/lib/modules/%s", command_root, kernel.release);
	link_entries(HEADERS "/modules", to);
}

/* Makes the nodes that load a module when they are opened, as systemd does at boot: /dev/net/tun, /dev/fuse, ... */
static void make_static_nodes(void)
{
	char path[sizeof("/lib/modules/") + sizeof(kernel.release) + 32], line[256], name[128], target[160], kind;
	unsigned int major_number, minor_number;
	FILE *list;

	snprintf(path, sizeof(path), "/lib/modules/%s/modules.devname", kernel.release);
	list = fopen(path, "re");
	while (list && fgets(line, sizeof(line), list)) {
		if (sscanf(line, "%*s %127s %c%u:%u", name, &kind, &major_number, &minor_number) != 4 || line[0] == '#')
			continue;
		snprintf(target, sizeof(target), "/dev/%s", name);
		for (char *slash = strchr(target + 5, '/'); slash; slash = strchr(slash + 1, '/')) {
			*slash = 0;
			mkdir(target, 0755);
			*slash = '/';
		}
		mknod(target, (kind == 'b' ? S_IFBLK : S_IFCHR) | (strcmp(name, "net/tun") ? 0600 : 0666), makedev(major_number, minor_number));
		if (!strcmp(name, "net/tun") || !strcmp(name, "fuse"))
			chmod(target, 0666); /* as udev's rules have it */
	}
	if (list)
		fclose(list);
}

/* A payload may be unpacked to where it can be written to; the command sees it where it cannot. */
static void prepare_payload(void)
{
	int fd;

	mkdir(INBOX, 0755);
	fd = open(payload_device, O_RDONLY | O_DIRECT | O_NOATIME | O_CLOEXEC);
	if (fd < 0 || mount("tmpfs", INBOX, "tmpfs", 0, "mode=0755") < 0 ||
	    mount(INBOX, PAYLOAD_ROOT, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, PAYLOAD_ROOT, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV, NULL) < 0)
		log_line("there is no place for a payload, or its disk cannot be opened: %s", strerror(errno));
	else
		payload_disk = fd;
}

/* What never changes is mounted before the guest is saved. A kernel may have no modules, or no driver for disks. */
static void mount_system(void)
{
	static const char *const disks[][2] = {
		{ "tools", TOOLS_ROOT }, { "modules", "/bpfcompat/modules" }, { "headers", HEADERS }, { "rootfs", ROOTFS },
	};

	for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
		char device[300];

		if (find_disk(disks[i][0], device, sizeof(device)) && !mount_disk(device, disks[i][1])) {
			log_line("the disk with the %s cannot be mounted: %s", disks[i][0], strerror(errno));
			stop_machine();
		}
	}
	link_tree(TOOLS_ROOT "/root", "", false); /* beside it stands the lost+found of every ext4 */
	link_modules();
	make_static_nodes();
	if (mount("configfs", "/sys/kernel/config", "configfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 && errno != ENODEV && errno != ENOENT)
		log_line("no configfs: %s", strerror(errno));
	if (access(ROOTFS "/lost+found", F_OK) == 0)
		mount_rootfs();
	link_headers();
	if (find_disk("payload", payload_device, sizeof(payload_device)))
		prepare_payload();
	else
		*payload_device = 0;
}

/* Mounts the filesystem that is on the payload's disk. */
static void mount_payload(void)
{
	/* After a restore the block cache still holds the disk that the guest was saved with. */
	ioctl(payload_disk, BLKFLSBUF, 0);
	if (!mount_disk(payload_device, PAYLOAD_ROOT))
		refuse("the payload disk cannot be mounted: %s", strerror(errno));
}

static void show_payload(void)
{
	if (*payload_device) {
		if (payload_disk < 0)
			refuse("the payload disk cannot be opened, or there is no place for what is on it");
		if (!unpack_payload())
			mount_payload();
	} else if (rmdir(PAYLOAD_ROOT) == 0) { /* for a kernel without disks it came in the initramfs */
		refuse("the payload disk is not there: this kernel has no virtio_blk, or could not load it");
	}
	copy_tree(PAYLOAD_ROOT "/files", WORK_ROOT, false);
	if (*command_root && !show(PAYLOAD_ROOT, PAYLOAD_ROOT))
		refuse("the payload cannot be shown in guest.rootfs: %s", strerror(errno));
	copy_tree(PAYLOAD_ROOT "/placed", command_root, false);
	link_tree(PAYLOAD_ROOT "/root", command_root, false);
	link_tree(PAYLOAD_ROOT "/over", command_root, true);
}
