/* What this kernel knows, by its own BTF. */
#include "validator.h"

static void read_kernel_btf(void)
{
	if (kernel_btf || kernel_btf_errno)
		return;
	kernel_btf = btf__load_vmlinux_btf();
	if (!kernel_btf)
		kernel_btf_errno = errno;
}

/* Returns whether an enumeration of the kernel has a value: 1, 0, or -1 where that cannot be told. */
static int knows(const char *enumeration, unsigned int value)
{
	const struct btf_type *type;
	const struct btf_enum *member;
	int id;

	read_kernel_btf();
	id = kernel_btf ? btf__find_by_name_kind(kernel_btf, enumeration, BTF_KIND_ENUM) : -1;
	if (id < 0)
		return -1;
	type = btf__type_by_id(kernel_btf, (uint32_t)id);
	member = btf_enum(type);
	for (int i = 0; i < btf_vlen(type); i++, member++) {
		const char *name = btf__name_by_offset(kernel_btf, member->name_off);

		if ((unsigned int)member->val == value && strncmp(name, "__", 2) && strncmp(name, "MAX_", 4))
			return 1;
	}
	return 0;
}

static int has_function(const char *prefix, const char *name, unsigned int kind)
{
	char whole[256];

	read_kernel_btf();
	if (!kernel_btf)
		return -1;
	snprintf(whole, sizeof(whole), "%s%s", prefix, name);
	return btf__find_by_name_kind(kernel_btf, whole, kind) > 0;
}

/* Returns whether what a section says that its program attaches to is there: 1, 0, or -1 where that cannot be told. */
static int has_target(const char *section, const char **target)
{
	static const struct { const char *section, *prefix; unsigned int kind; } kinds[] = {
		{ "fentry", "", BTF_KIND_FUNC }, { "fexit", "", BTF_KIND_FUNC }, { "fmod_ret", "", BTF_KIND_FUNC },
		{ "tp_btf", "btf_trace_", BTF_KIND_TYPEDEF }, { "lsm", "bpf_lsm_", BTF_KIND_FUNC },
		{ "lsm_cgroup", "bpf_lsm_", BTF_KIND_FUNC }, { "iter", "bpf_iter_", BTF_KIND_FUNC },
	};
	const char *slash = strchr(section, '/');
	size_t length;

	if (*section == '?')
		section++;
	*target = slash ? slash + 1 : "";
	length = slash ? (size_t)(slash - section) : strlen(section);
	if (length > 2 && !strncmp(section + length - 2, ".s", 2))
		length -= 2; /* the sleepable kind */
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && slash; i++)
		if (strlen(kinds[i].section) == length && !strncmp(section, kinds[i].section, length))
			return has_function(kinds[i].prefix, *target, kinds[i].kind);
	if (slash && length == strlen("tracepoint") && !strncmp(section, "tracepoint", length)) {
		char file[512];

		snprintf(file, sizeof(file), EVENTS "/%s", *target);
		return access(file, F_OK) == 0 ? 1 : access(EVENTS, F_OK) == 0 ? 0 : -1;
	}
	return -1;
}
