/*
 * PID 1 of the guest: mounts what an eBPF loader expects, waits for one job on ttyS1, runs it, reports how it ended.
 *
 * Ports: ttyS0 is the kernel's console, ttyS1 carries the control lines, ttyS2 the command's stdout, ttyS3 its stderr.
 * Nothing else shares a port with printk: on a shared console 23 of 300 long lines were broken (Debian 6.1, QEMU 7.2).
 *
 * Control lines are tab-separated, end in a CRC-32 of all before it, and carry the nonce of the job they speak of:
 *     BPFCOMPAT <version> READY 0 <release> <crc>
 *     BPFCOMPAT <version> BEGIN <nonce> <release> <machine> <kernel version> <crc>
 *     BPFCOMPAT <version> ENDED <nonce> <crc>                  the command has ended, but its streams are still on their way
 *     BPFCOMPAT <version> END   <nonce> <wait status> <ns> <utime us> <stime us> <max rss KiB> <out> <out sent> <err> <err sent> <drained> <crc>
 *     BPFCOMPAT <version> FAIL  <nonce> <what could not be done> <crc>
 * The host sends "JOB <nonce> <length> <crc>\n" and then <length> bytes of NUL-terminated key, value pairs, in windows
 * of WINDOW bytes, each but the last answered by GOT: the serial driver drops what a slow reader leaves in its buffer.
 * Before it, the host may send "SETTLE\n" to a guest that it is about to save (answered by SETTLED).
 * While the command runs, the host may send "PING <nonce>\n" (answered by PONG) and "DUMP <nonce>\n" (blocked tasks to the console, DUMPED).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PROTOCOL "2"
#define WINDOW 2048
#define JOB_LIMIT (512 * 1024)
#define NONCE_SIZE 33
#define KEPT (256 * 1024) /* bytes kept of the beginning and of the end of each stream */
#define ENVIRONMENT_LIMIT 1024

#define STALE (16 << 20) /* bytes of free memory that the boot has left used */

#define TOOLS_ROOT "/bpfcompat/tools"
#define PAYLOAD_ROOT "/bpfcompat/payload"
#define WORK_ROOT "/bpfcompat/work"
#define ROOTFS "/bpfcompat/rootfs" /* a userland of the project's own, read-only */
#define ROOTFS_WRITTEN "/bpfcompat/upper"
#define NEW_ROOT "/bpfcompat/root" /* what the command sees of it */

struct stream {
	const char *port;
	int in, out;           /* the command's pipe; the serial port */
	uint64_t total, sent;  /* bytes seen; bytes put on the wire in the end */
	size_t head_length, head_sent;
	char head[KEPT];
	char ring[KEPT];       /* the last KEPT bytes after the head */
};

static struct stream out, err; /* set up at run time: initialised, their megabyte would be in the file */
static int control = -1;
static char nonce[NONCE_SIZE] = "0";
static struct utsname kernel;
static const char *command_root = ""; /* NEW_ROOT, if the project has a userland of its own */

struct job {
	const char *command, *binary, *artifact, *time, *seed;
	bool payload;
	const char *environment[ENVIRONMENT_LIMIT + 1];
	size_t environment_length;
};

/* ---- small helpers ---- */

static uint32_t crc32_of(const char *data, size_t length)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < length; i++) {
		crc ^= (unsigned char)data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}

static void log_line(const char *format, ...)
{
	char text[512] = "<4>bpfcompat: ";
	size_t prefix = strlen(text);
	va_list arguments;
	int kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	va_start(arguments, format);
	vsnprintf(text + prefix, sizeof(text) - prefix, format, arguments);
	va_end(arguments);
	if (kmsg >= 0) {
		if (write(kmsg, text, strlen(text)) < 0) {
			/* There is no one left to tell. */
		}
		close(kmsg);
	}
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		log_line("%s: %s", path, strerror(errno));
	close(fd);
}

/* Opens a serial port raw. Called again whenever a command may have changed its settings or hung it up. */
static int open_port(const char *path)
{
	struct termios settings;
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (tcgetattr(fd, &settings) == 0) {
		cfmakeraw(&settings);
		cfsetspeed(&settings, B115200);
		settings.c_cflag |= CLOCAL | CREAD;
		settings.c_cflag &= ~CRTSCTS;
		tcsetattr(fd, TCSANOW, &settings);
	}
	tcflow(fd, TCOON);
	return fd;
}

static void reopen(int *fd, const char *path)
{
	int fresh = open_port(path);

	if (fresh < 0)
		return;
	if (*fd >= 0)
		close(*fd);
	*fd = fresh;
}

static void write_all(int *fd, const char *path, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t written = write(*fd, data, length);

		if (written > 0) {
			data += written;
			length -= (size_t)written;
		} else if (written < 0 && errno == EAGAIN) {
			struct pollfd waiting = { .fd = *fd, .events = POLLOUT };

			/* A command can stop the port's output (tcflow); the fresh settings start it again. */
			if (poll(&waiting, 1, 1000) == 0)
				reopen(fd, path);
		} else if (written < 0 && errno == EIO) {
			reopen(fd, path); /* hung up by a session leader that had made it its terminal */
		} else if (written < 0 && errno != EINTR) {
			return;
		}
	}
}

static void say(const char *kind, const char *format, ...)
{
	char line[2048];
	int length = snprintf(line, sizeof(line), "BPFCOMPAT\t" PROTOCOL "\t%s\t%s\t", kind, nonce);
	va_list arguments;

	va_start(arguments, format);
	length += vsnprintf(line + length, sizeof(line) - 64 - (size_t)length, format, arguments);
	va_end(arguments);
	if (length > (int)sizeof(line) - 65)
		length = (int)sizeof(line) - 65; /* vsnprintf says what it would have written */
	for (int i = 0; i < length; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	length += snprintf(line + length, 16, "\t%08x\n", crc32_of(line, (size_t)length));
	write_all(&control, "/dev/ttyS1", line, (size_t)length);
}

static void stop_machine(void)
{
	sync();
	reboot(RB_AUTOBOOT); /* QEMU runs with -no-reboot: a reset ends it at once, with or without ACPI */
	for (;;)
		pause();
}

static void refuse(const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_line("%s", text);
	say("FAIL", "%s", text);
	for (;;)
		pause();
}

/* ---- before READY ---- */

static const struct { const char *source, *target, *type; unsigned long flags; const char *options; } mounts[] = {
	{ "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755" },
	{ "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666" },
	{ "tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" },
	{ "tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" },
	{ "tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755" },
	{ "tmpfs", WORK_ROOT, "tmpfs", 0, "mode=0755" },
	{ "bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700" },
	{ "cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "tracefs", "/sys/kernel/tracing", "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "securityfs", "/sys/kernel/security", "securityfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
};

static void mount_all(void)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].target, 0755);
		if (mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].options) < 0)
			log_line("no %s on %s: %s", mounts[i].type, mounts[i].target, strerror(errno));
	}
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") || symlink("/proc/self/fd/2", "/dev/stderr"))
		log_line("/dev/fd: %s", strerror(errno));
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
	return strcmp((*left)->d_name, (*right)->d_name);
}

/* The host decompressed the modules and named them in the order in which they can be loaded. */
static void load_modules(void)
{
	struct dirent **names = NULL;
	int count = scandir("/modules", &names, NULL, by_name);

	for (int i = 0; i < count; i++) {
		char path[300];
		int fd;

		if (names[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
				log_line("module %s: %s", names[i]->d_name, strerror(errno));
			close(fd);
			unlink(path);
		}
		free(names[i]);
	}
	free(names);
}

static void bring_up_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP | IFF_RUNNING;
		if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
			log_line("lo: %s", strerror(errno));
	}
	close(fd);
}

static void set_limits(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	/* Kernels before 5.11 charge BPF maps and programs to RLIMIT_MEMLOCK. */
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) < 0)
		log_line("RLIMIT_MEMLOCK: %s", strerror(errno));
	if (sethostname("bpfcompat", 9) < 0)
		log_line("hostname: %s", strerror(errno));
	write_file("/proc/sys/kernel/sysrq", "1");
	write_file("/proc/self/oom_score_adj", "-1000");
}

/* ---- the job ---- */

static bool read_byte(char *byte, int timeout_ms)
{
	for (;;) {
		struct pollfd waiting = { .fd = control, .events = POLLIN };
		ssize_t got = read(control, byte, 1);

		if (got == 1)
			return true;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (poll(&waiting, 1, timeout_ms) == 0)
			return false;
	}
}

static void read_line(char *line, size_t size)
{
	size_t used = 0;
	char byte;

	while (read_byte(&byte, -1) && byte != '\n')
		if (used < size - 1)
			line[used++] = byte;
	line[used] = 0;
}

/*
 * Makes this guest smaller to save: the boot's own code and the packed initramfs are free memory by now, but not empty.
 * The kernel hands it out first, and zeroes it for a process: 13 MB less on disk, for 50 ms of the boot that is saved.
 */
static void settle(void)
{
	struct sysinfo memory;
	pid_t child;

	sysinfo(&memory);
	child = memory.freeram * memory.mem_unit > 4ul * STALE ? fork() : -1;
	if (child == 0) {
		char *stale = mmap(NULL, STALE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (size_t at = 0; stale != MAP_FAILED && at < STALE; at += 4096)
			((volatile char *)stale)[at] = 0;
		_exit(0);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
	say("SETTLED", "");
}

static char *receive_job(size_t *length)
{
	char line[256], *blob;
	size_t got = 0, next = WINDOW;
	unsigned int crc;

	for (read_line(line, sizeof(line)); !strcmp(line, "SETTLE"); read_line(line, sizeof(line)))
		settle();
	if (sscanf(line, "JOB %32[0-9a-f] %zu %x", nonce, length, &crc) != 3 || *length > JOB_LIMIT)
		refuse("the job's first line cannot be read");
	blob = calloc(1, *length + 1);
	while (got < *length) {
		if (!read_byte(blob + got, 10000))
			refuse("the job stopped after %zu of %zu bytes", got, *length);
		if (++got == next && got < *length) {
			say("GOT", "%zu", got);
			next += WINDOW;
		}
	}
	if (crc32_of(blob, *length) != crc)
		refuse("the job was damaged on its way (%zu bytes)", *length);
	return blob;
}

static void parse_job(char *blob, size_t length, struct job *job)
{
	for (char *at = blob; at < blob + length;) {
		const char *key = at, *value = at + strlen(at) + 1;

		if (value >= blob + length)
			refuse("the job ends in the middle of %s", key);
		at += strlen(key) + strlen(value) + 2;
		if (!strcmp(key, "command"))
			job->command = value;
		else if (!strcmp(key, "binary"))
			job->binary = value;
		else if (!strcmp(key, "artifact"))
			job->artifact = value;
		else if (!strcmp(key, "time"))
			job->time = value;
		else if (!strcmp(key, "seed"))
			job->seed = value;
		else if (!strcmp(key, "payload"))
			job->payload = true;
		else if (!strcmp(key, "env") && job->environment_length < ENVIRONMENT_LIMIT)
			job->environment[job->environment_length++] = value;
		else
			refuse("the job has a part that this guest does not know: %s", key);
	}
	if (!job->command)
		refuse("the job has no command");
}

/* A restored guest has the clock and the random numbers of the moment it was saved, like all its siblings. */
static void refresh(const struct job *job)
{
	struct timespec now = { 0 };
	struct { int entropy, size; unsigned char bytes[64]; } pool = { .size = 0 };
	int fd;

	if (job->time && sscanf(job->time, "%ld.%ld", &now.tv_sec, &now.tv_nsec) == 2 && clock_settime(CLOCK_REALTIME, &now) < 0)
		refuse("the clock cannot be set: %s", strerror(errno));
	for (const char *hex = job->seed; hex && hex[0] && hex[1] && pool.size < (int)sizeof(pool.bytes); hex += 2)
		sscanf(hex, "%2hhx", &pool.bytes[pool.size++]);
	pool.entropy = pool.size * 8;
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0)
		refuse("the random numbers cannot be seeded: %s", strerror(errno));
	/* Without this, kernels before 5.18 go on with the old key for up to five minutes. */
	ioctl(fd, RNDRESEEDCRNG);
	close(fd);
}

static void copy_file(const char *from, const char *to, mode_t mode)
{
	char buffer[65536];
	ssize_t got;
	int source = open(from, O_RDONLY | O_CLOEXEC), target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (source < 0 || target < 0)
		refuse("%s cannot be copied to the working directory: %s", from, strerror(errno));
	while ((got = read(source, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0; done < got;) {
			ssize_t written = write(target, buffer + done, (size_t)(got - done));

			if (written < 0)
				refuse("%s does not fit into the guest's memory: %s", from, strerror(errno));
			done += written;
		}
	if (got < 0 || fchmod(target, mode) < 0)
		refuse("%s cannot be copied to the working directory: %s", from, strerror(errno));
	close(source);
	close(target);
}

/* The command may write to its files, so they are copies; the payload itself is shared by all runs and read-only. */
static void copy_tree(const char *from, const char *to)
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
			mkdir(target, 0700);
			copy_tree(source, target);
			chmod(target, status.st_mode & 07777);
		} else if (S_ISLNK(status.st_mode)) {
			if (readlink(source, link, sizeof(link) - 1) < 0 || symlink(link, target) < 0)
				refuse("the link %s cannot be copied: %s", source, strerror(errno));
		} else {
			copy_file(source, target, status.st_mode & 07777);
		}
	}
	if (directory)
		closedir(directory);
}

/* Shared libraries stand in the payload as they stand on the host; here they are links, and nothing is replaced. */
static void link_tree(const char *from, const char *to)
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
			link_tree(source, target);
		} else if (symlink(source, target) < 0 && errno != EEXIST) {
			refuse("%s cannot be linked: %s", target, strerror(errno));
		}
	}
	if (directory)
		closedir(directory);
}

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
	if (access("/bpfcompat/modules/modules", F_OK) == 0 && !show("/bpfcompat/modules/modules", "/lib/modules"))
		log_line("/lib/modules cannot be shown in guest.rootfs: %s", strerror(errno));
}

/* What never changes is mounted before the guest is saved. A kernel may have no modules, or no driver for disks. */
static void mount_system(void)
{
	static const char *const disks[][2] = { { "tools", TOOLS_ROOT }, { "modules", "/bpfcompat/modules" }, { "rootfs", ROOTFS } };

	for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
		char device[300];

		if (find_disk(disks[i][0], device, sizeof(device)) && !mount_disk(device, disks[i][1])) {
			log_line("the disk with the %s cannot be mounted: %s", disks[i][0], strerror(errno));
			stop_machine();
		}
	}
	link_tree(TOOLS_ROOT "/root", ""); /* beside it stands the lost+found of every ext4 */
	if (access(ROOTFS "/lost+found", F_OK) == 0)
		mount_rootfs();
}

static void mount_payload(void)
{
	char device[300];
	int fd;

	if (!find_disk("payload", device, sizeof(device))) {
		/* For a kernel without disks it came in the initramfs, with the lost+found of the disk that it would have been. */
		if (access(PAYLOAD_ROOT "/lost+found", F_OK) < 0)
			refuse("the payload disk is not there: this kernel has no virtio_blk, or could not load it");
		copy_tree(PAYLOAD_ROOT "/files", WORK_ROOT);
		link_tree(PAYLOAD_ROOT "/root", "");
		return;
	}
	fd = open(device, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		refuse("%s cannot be opened: %s", device, strerror(errno));
	/* After a restore the block cache still holds the disk that the guest was saved with. */
	ioctl(fd, BLKFLSBUF, 0);
	close(fd);
	mkdir(PAYLOAD_ROOT, 0755);
	if (!mount_disk(device, PAYLOAD_ROOT))
		refuse("the payload disk cannot be mounted: %s", strerror(errno));
	copy_tree(PAYLOAD_ROOT "/files", WORK_ROOT);
	if (*command_root && !show(PAYLOAD_ROOT, PAYLOAD_ROOT))
		refuse("the payload cannot be shown in guest.rootfs: %s", strerror(errno));
	link_tree(PAYLOAD_ROOT "/root", command_root);
}

static void add_environment(struct job *job, const char *name, const char *value)
{
	char *entry;

	if (asprintf(&entry, "%s=%s", name, value ? value : "") < 0)
		refuse("out of memory");
	job->environment[job->environment_length++] = entry;
}

static _Noreturn void become_command(const struct job *job, int stdout_pipe, int stderr_pipe)
{
	char *const arguments[] = { "bash", "-l", "-c", "--", (char *)job->command, NULL };
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
	if (!*command_root || chroot(command_root) == 0) {
		if (chdir(WORK_ROOT) == 0)
			execve("/bin/bash", arguments, (char *const *)job->environment);
		execve("/bpfcompat/bash", arguments, (char *const *)job->environment);
	}
	dprintf(STDERR_FILENO, "bpfcompat: bash cannot be started: %s\n", strerror(errno));
	_exit(127);
}

static pid_t start(const struct job *job)
{
	int pipe_out[2], pipe_err[2];
	pid_t child;

	if (pipe2(pipe_out, O_CLOEXEC) < 0 || pipe2(pipe_err, O_CLOEXEC) < 0)
		refuse("no pipe: %s", strerror(errno));
	child = fork();
	if (child < 0)
		refuse("no process: %s", strerror(errno));
	if (child == 0)
		become_command(job, pipe_out[1], pipe_err[1]);
	close(pipe_out[1]);
	close(pipe_err[1]);
	out.in = pipe_out[0];
	err.in = pipe_err[0];
	fcntl(out.in, F_SETFL, O_NONBLOCK);
	fcntl(err.in, F_SETFL, O_NONBLOCK);
	return child;
}

/* ---- the streams ---- */

/* Takes what is in the pipe: the first KEPT bytes for the wire at once, of the rest the last KEPT for later. */
static void take(struct stream *stream)
{
	char buffer[65536];
	ssize_t got = read(stream->in, buffer, sizeof(buffer));
	size_t offset = 0;

	if (got <= 0) {
		if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			close(stream->in);
			stream->in = -1;
		}
		return;
	}
	if (stream->head_length < KEPT) {
		offset = KEPT - stream->head_length;
		if (offset > (size_t)got)
			offset = (size_t)got;
		memcpy(stream->head + stream->head_length, buffer, offset);
		stream->head_length += offset;
	}
	stream->total += offset;
	while (offset < (size_t)got) {
		size_t at = (stream->total - KEPT) % KEPT, part = KEPT - at;

		if (part > (size_t)got - offset)
			part = (size_t)got - offset;
		memcpy(stream->ring + at, buffer + offset, part);
		offset += part;
		stream->total += part;
	}
}

static void forward(struct stream *stream)
{
	ssize_t written = write(stream->out, stream->head + stream->head_sent, stream->head_length - stream->head_sent);

	if (written > 0) {
		stream->head_sent += (size_t)written;
	} else if (written < 0 && errno == EIO) {
		reopen(&stream->out, stream->port);
	}
}

static void send_rest(struct stream *stream)
{
	uint64_t after_head = stream->total - stream->head_length;
	size_t kept = after_head < KEPT ? (size_t)after_head : KEPT;
	size_t start = after_head < KEPT ? 0 : after_head % KEPT;

	write_all(&stream->out, stream->port, stream->head + stream->head_sent, stream->head_length - stream->head_sent);
	write_all(&stream->out, stream->port, stream->ring + start, kept - start);
	write_all(&stream->out, stream->port, stream->ring, start);
	stream->sent = stream->head_length + kept;
	tcdrain(stream->out);
}

/* ---- while the command runs ---- */

static void dump_tasks(void)
{
	write_file("/proc/sys/kernel/printk", "8");
	write_file("/proc/sysrq-trigger", "w");
	write_file("/proc/sysrq-trigger", "l");
	say("DUMPED", "");
}

static void answer_host(void)
{
	static char line[64];
	static size_t used;
	char byte, asked[NONCE_SIZE];

	while (read(control, &byte, 1) == 1) {
		if (byte != '\n') {
			if (used < sizeof(line) - 1)
				line[used++] = byte;
			continue;
		}
		line[used] = 0;
		used = 0;
		if (sscanf(line, "PING %32[0-9a-f]", asked) == 1 && !strcmp(asked, nonce))
			say("PONG", "");
		else if (sscanf(line, "DUMP %32[0-9a-f]", asked) == 1 && !strcmp(asked, nonce))
			dump_tasks();
	}
}

static int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
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
		}
	return ended;
}

/* One turn of the loop: waits for any port, pipe or child. */
static void turn(int children, int timeout_ms)
{
	struct signalfd_siginfo ignored;
	struct pollfd ports[] = {
		{ .fd = out.in, .events = POLLIN },
		{ .fd = err.in, .events = POLLIN },
		{ .fd = out.head_sent < out.head_length ? out.out : -1, .events = POLLOUT },
		{ .fd = err.head_sent < err.head_length ? err.out : -1, .events = POLLOUT },
		{ .fd = children, .events = POLLIN },
		{ .fd = control, .events = POLLIN },
	};

	if (poll(ports, sizeof(ports) / sizeof(ports[0]), timeout_ms) <= 0)
		return;
	if (ports[0].revents)
		take(&out);
	if (ports[1].revents)
		take(&err);
	if (ports[2].revents)
		forward(&out);
	if (ports[3].revents)
		forward(&err);
	if (ports[4].revents && read(children, &ignored, sizeof(ignored)) < 0)
		log_line("signalfd: %s", strerror(errno));
	if (ports[5].revents & (POLLHUP | POLLERR))
		reopen(&control, "/dev/ttyS1");
	else if (ports[5].revents)
		answer_host();
}

static void run(const struct job *job)
{
	struct rusage usage = { 0 };
	sigset_t child_ends;
	int status = 0, children;
	int64_t began, took, deadline;
	pid_t command;

	sigemptyset(&child_ends);
	sigaddset(&child_ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child_ends, NULL);
	children = signalfd(-1, &child_ends, SFD_CLOEXEC | SFD_NONBLOCK);
	say("BEGIN", "%s\t%s\t%s", kernel.release, kernel.machine, kernel.version);
	began = monotonic_ns();
	command = start(job);
	while (!reap(command, &status, &usage))
		turn(children, -1);
	took = monotonic_ns() - began;

	/* What the command left behind must neither delay the verdict nor write after it. */
	kill(-1, SIGKILL);
	for (deadline = monotonic_ns() + 2000000000ll; (out.in >= 0 || err.in >= 0) && monotonic_ns() < deadline;) {
		turn(children, 100);
		reap(command, &status, &usage);
	}
	/* The command's clock must not run on while the serial port (0.5 MB/s under emulation) catches up. */
	if (out.total + err.total - out.head_sent - err.head_sent > 4096)
		say("ENDED", "");
	send_rest(&out);
	send_rest(&err);
	reopen(&control, "/dev/ttyS1");
	say("END", "%d\t%lld\t%lld\t%lld\t%ld\t%llu\t%llu\t%llu\t%llu\t%d", status, (long long)took,
	    usage.ru_utime.tv_sec * 1000000ll + usage.ru_utime.tv_usec, usage.ru_stime.tv_sec * 1000000ll + usage.ru_stime.tv_usec,
	    usage.ru_maxrss, (unsigned long long)out.total, (unsigned long long)out.sent, (unsigned long long)err.total,
	    (unsigned long long)err.sent, out.in < 0 && err.in < 0);
	tcdrain(control);
}

int main(void)
{
	static struct job job;
	size_t length;
	char *blob;

	out.port = "/dev/ttyS2";
	err.port = "/dev/ttyS3";
	mount_all();
	load_modules();
	mount_system();
	bring_up_loopback();
	set_limits();
	uname(&kernel);
	control = open_port("/dev/ttyS1");
	out.out = open_port(out.port);
	err.out = open_port(err.port);
	if (control < 0 || out.out < 0 || err.out < 0) {
		log_line("this kernel has no four 8250 serial ports: %s", strerror(errno));
		stop_machine();
	}
	say("READY", "%s", kernel.release);

	blob = receive_job(&length);
	parse_job(blob, length, &job);
	refresh(&job);
	if (job.payload)
		mount_payload();
	add_environment(&job, "BPFCOMPAT_BIN", job.binary);
	add_environment(&job, "BPFCOMPAT_ARTIFACT", job.artifact);
	add_environment(&job, "BPFCOMPAT_REMOTE_ROOT", WORK_ROOT);
	klogctl(8, NULL, 7); /* the boot is quiet, the run is not: what the kernel says about the loader is evidence */
	run(&job);
	for (;;)
		pause(); /* the host ends the machine when it has every byte */
}
