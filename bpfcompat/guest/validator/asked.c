/*
 * What the kernel itself was asked, and what it answered: libbpf tells neither apart from what it found out on its own.
 * Every bpf(2) of libbpf comes through here, by the linker's --wrap=syscall.
 */
#include "validator.h"

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

static bool same_name(const char *kernel_s, const char *name)
{
	return name && !strncmp(kernel_s, name, BPF_OBJ_NAME_LEN - 1);
}

/* Returns errno of the same question with other flags, or with another expected attach type. 0: it was answered, or verified. */
static int answer_to(const union bpf_attr *asked, long size, uint32_t flags, uint32_t attach_type)
{
	char *log = (char *)(uintptr_t)asked->log_buf;
	union bpf_attr attr;
	long fd;
	int error;

	memset(&attr, 0, sizeof(attr));
	memcpy(&attr, asked, (size_t)size < sizeof(attr) ? (size_t)size : sizeof(attr));
	attr.prog_flags = flags;
	attr.expected_attach_type = attach_type;
	fd = __real_syscall(__NR_bpf, BPF_PROG_LOAD, (long)&attr, size, 0, 0, 0);
	error = fd < 0 ? errno : 0;
	if (fd >= 0)
		close((int)fd);
	if (*log)
		error = 0;
	*log = 0;
	return error;
}

static void hear_program(const union bpf_attr *attr, long size, int error)
{
	struct program_result *found = asked_about;

	found->asked = true;
	found->asked_errno = error;
	found->asked_flags = attr->prog_flags;
	found->asked_attach_type = attr->expected_attach_type;
	if (error != EINVAL || !attr->log_level || !attr->log_buf || *(const char *)(uintptr_t)attr->log_buf)
		return;
	found->errno_without_flags = attr->prog_flags ? answer_to(attr, size, 0, attr->expected_attach_type) : error;
	found->errno_without_type = attr->expected_attach_type ? answer_to(attr, size, attr->prog_flags, 0) : error;
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long got = __real_syscall(number, a, b, c, d, e, f);
	const union bpf_attr *attr = (const union bpf_attr *)b;
	int error = errno;

	if (number != __NR_bpf)
		return got;
	if (a == BPF_PROG_LOAD && asked_about && same_name(attr->prog_name, asked_name))
		hear_program(attr, c, got < 0 ? error : 0);
	else if (a == BPF_PROG_LOAD && asked_about && got < 0 && *attr->prog_name && strncmp(attr->prog_name, "libbpf_", 7))
		other_refused = true; /* of the same object: libbpf's own questions have such a name, or none */
	/* libbpf tries some maps again in another way, without BTF for instance: only the last answer counts. */
	if (a == BPF_MAP_CREATE && got >= 0 && same_name(refused_map, attr->map_name))
		refused_map_errno = 0;
	if (a == BPF_MAP_CREATE && got < 0) {
		snprintf(refused_map, sizeof(refused_map), "%.*s", BPF_OBJ_NAME_LEN - 1, attr->map_name);
		refused_map_type = attr->map_type;
		refused_map_errno = error;
	}
	errno = error;
	return got;
}
