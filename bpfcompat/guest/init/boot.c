/* What is mounted, loaded and set before the guest waits for its job. */
#include "init.h"

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
	{ "hugetlbfs", "/dev/hugepages", "hugetlbfs", MS_NOSUID | MS_NODEV, "mode=0755" },
	{ "securityfs", "/sys/kernel/security", "securityfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
};

static void mount_all(void)
{
	/* The root that a kernel unpacks its initramfs into is open to all, as a tmpfs is. */
	if (chmod("/", 0755) < 0)
		log_line("/: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].target, 0755);
		if (mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].options) < 0 && errno != ENODEV)
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
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY }, files = { 1024, 524288 };

	getrlimit(RLIMIT_MEMLOCK, &usual_memlock);
	/* Kernels before 5.11 charge BPF maps and programs to RLIMIT_MEMLOCK. */
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) < 0)
		log_line("RLIMIT_MEMLOCK: %s", strerror(errno));
	/* As systemd has them: a soft limit that select(2) can live with, and a hard one for those who ask. */
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		log_line("RLIMIT_NOFILE: %s", strerror(errno));
	/* The kernel loads modules for its own needs by this program: kmod, which the command has, takes ten times as long. */
	write_file("/proc/sys/kernel/modprobe", "/bpfcompat/modprobe");
	if (sethostname("bpfcompat", 9) < 0)
		log_line("hostname: %s", strerror(errno));
	write_file("/proc/sys/kernel/sysrq", "1");
	write_file("/proc/self/oom_score_adj", "-1000");
}
