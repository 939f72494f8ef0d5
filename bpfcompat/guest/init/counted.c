/* What the kernel itself counts and says, told just before END: what it killed for want of memory, which words of its
 * command line it does not know, and whether the command made anything of BPF. */
#include "init.h"

static int counters = -1; /* /proc/vmstat, open for the same reasons as the file of taint.c */

static void open_counters(void)
{
	counters = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
}

/* Processes that the kernel has killed for want of memory since it booted (mm/vmstat.c, Linux 4.13); -1 where it does not count. */
static long long memory_kills(void)
{
	static char text[64 * 1024];
	size_t length = 0;
	ssize_t got;
	const char *found;

	while ((got = pread(counters, text + length, sizeof(text) - 1 - length, (off_t)length)) > 0)
		length += (size_t)got;
	text[length] = 0;
	found = strstr(text, "\noom_kill ");
	return found ? strtoll(found + strlen("\noom_kill "), NULL, 10) : -1;
}

static char unknown_words[1024];

/* Linux says since 5.14 which words of its command line it does not know, once, when it boots (init/main.c): read then, too. */
static void note_unknown_words(void)
{
	static char log[256 * 1024];
	int got = klogctl(3, log, sizeof(log) - 1); /* SYSLOG_ACTION_READ_ALL */
	const char *said;

	log[got > 0 ? got : 0] = 0;
	said = strstr(log, "nknown kernel command line parameters \"");
	if (said)
		sscanf(said, "%*[^\"]\"%1023[^\"\n]", unknown_words);
	for (char *at = unknown_words; *at; at++)
		if (*at == '\t')
			*at = ' ';
}

static int bpf(int asked, union bpf_attr *attr)
{
	return (int)syscall(__NR_bpf, asked, attr, sizeof(*attr));
}

/* Returns the id that a program of the smallest kind gets, 0 if it gets none. Ids are given in turn, and none twice. */
static unsigned int next_program(void)
{
	static const struct bpf_insn nothing[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (uintptr_t)nothing;
	attr.insn_cnt = 2;
	attr.license = (uintptr_t)"GPL";
	fd = bpf(BPF_PROG_LOAD, &attr);
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (unsigned int)fd;
	attr.info.info = (uintptr_t)&info;
	attr.info.info_len = sizeof(info);
	if (fd >= 0)
		bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
	close(fd);
	return info.id;
}

/*
 * Tells whether any BPF program was loaded between two calls. Asked only of kernels that charge BPF memory to a limit
 * (before 5.11): there a command that loads some may need more than a distribution's limit lets it have.
 */
static bool loaded_programs(void)
{
	static unsigned int before;
	unsigned int major = 0, minor = 0, id, last = before;

	if (sscanf(kernel.release, "%u.%u", &major, &minor) != 2 || major > 5 || (major == 5 && minor > 10))
		return false;
	id = next_program();
	before = id;
	return last && id > last + 1;
}

static long long kills_before;

static void begin_counting(void)
{
	kills_before = memory_kills();
	loaded_programs();
}

static void tell_counted(void)
{
	long long kills = memory_kills();

	say("COUNTED", "%lld\t%d\t%lld\t%s", kills < 0 ? kills : kills - kills_before, loaded_programs(),
	    (long long)(usual_memlock.rlim_cur / 1024), unknown_words);
}
