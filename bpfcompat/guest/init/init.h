/* What the parts of init share. They are one program and one translation unit (main.c), so everything is static. */
#ifndef BPFCOMPAT_INIT_H
#define BPFCOMPAT_INIT_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
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
#include <sys/sysmacros.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PROTOCOL "6"
#define WINDOW 2048
#define JOB_LIMIT (512 * 1024)
#define NONCE_SIZE 33
#define KEPT (256 * 1024) /* bytes kept of the beginning and of the end of each stream */
#define LIVE (64 * 1024)  /* bytes of each stream that are sent while a command is busy */
#define QUIET_MS 100      /* so long it has written nothing, then the port may have more */
#define ENVIRONMENT_LIMIT 1024
#define MODULES_LIMIT 64
#define ARGUMENTS_LIMIT 4096
#define SHARES_LIMIT 64
#define COLLECT_LIMIT 64

#define STALE (16 << 20) /* bytes of free memory that the boot has left used */

#define TOOLS_ROOT "/bpfcompat/tools"
#define PAYLOAD_ROOT "/bpfcompat/payload"
#define REST_OF_JOB "job" /* a file of the payload */
#define INBOX "/bpfcompat/inbox" /* where an archive is unpacked to: the same folder, which can be written to here */
#define WORK_ROOT "/bpfcompat/work"
#define ROOTFS "/bpfcompat/rootfs" /* a userland of the project's own, read-only */
#define ROOTFS_WRITTEN "/bpfcompat/upper"
#define WRITTEN "/bpfcompat/written" /* what a program writes to shared folders */
#define MODULES "/bpfcompat/modules/modules" /* what came with the kernel, as a disk that nobody may write to */
#define HEADERS "/bpfcompat/headers" /* the kernel's headers, as such a disk, if the profile asks for them */
#define NOTIFY_SOCKET "/run/bpfcompat.notify"
#define NEW_ROOT "/bpfcompat/root" /* what the command sees of it */

struct stream {
	const char *port;
	int in, out;           /* the command's pipe; the serial port */
	uint64_t total, sent;  /* bytes seen; bytes put on the wire in the end, the others being in the outbox, or lost */
	size_t head_length, head_sent;
	char head[KEPT];
	char ring[KEPT];       /* the last KEPT bytes after the head */
	bool live;             /* all of it goes out at once, and who writes waits: the head is all there is */
};

/* What the host types: at most one window is on its way, and the host sends the next when that was taken. */
struct input {
	int to;                /* the command's standard input, or its terminal; -1 if nobody reads it */
	size_t expected, length, sent;
	char window[WINDOW];
};

/* Bytes of a stream that lie together. */
struct piece {
	const char *data;
	size_t length;
};

static struct stream out, err; /* set up at run time: initialised, their megabyte would be in the file */
static struct input typed;
static int control = -1;
static int outbox_disk = -1; /* open since before the guest was saved: the command may remove its node */
static char nonce[NONCE_SIZE] = "0";
static struct utsname kernel;
static struct rlimit usual_memlock; /* what the kernel gives its first process, and systemd hands on */
static const char *command_root = ""; /* NEW_ROOT, if the project has a userland of its own */

struct job {
	const char *command, *binary, *artifact, *time, *seed;
	bool payload, more;         /* what comes on a disk; the rest of the job there */
	bool usual_limits;          /* as a distribution has them */
	const char *ready_file, *while_ready;
	bool ready, ready_notify;
	int ready_signal;
	const char *modules[MODULES_LIMIT];
	size_t module_count;
	const char *collect[COLLECT_LIMIT]; /* patterns below the working directory */
	size_t collect_count;
	uint64_t collect_bytes; /* of all that they name together */
	const char *environment[ENVIRONMENT_LIMIT + 1];
	size_t environment_length;
	/* Of a program that runs as it would on the host, instead of a command: */
	const char *program, *directory;
	const char *arguments[ARGUMENTS_LIMIT + 1];
	size_t argument_count;
	const char *shares[SHARES_LIMIT], *folders[SHARES_LIMIT];
	bool copied[SHARES_LIMIT]; /* a share that is small enough for it, of a payload that is no archive */
	size_t share_count, folder_count;
	bool live, input;
	struct winsize terminal; /* no rows: there is none */
};

#endif
