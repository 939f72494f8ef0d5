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

/* Returns the number of a type of the kernel's BTF; 0 if there is none, -1 where that cannot be told. */
static int find_type(const char *prefix, const char *name, unsigned int kind)
{
	char whole[256];
	int id;

	read_kernel_btf();
	if (!kernel_btf)
		return -1;
	snprintf(whole, sizeof(whole), "%s%s", prefix, name);
	id = btf__find_by_name_kind(kernel_btf, whole, kind);
	return id > 0 ? id : 0;
}

/* 1, 0, or -1 where that cannot be told. */
static int has_function(const char *prefix, const char *name, unsigned int kind)
{
	int id = find_type(prefix, name, kind);

	return id < 0 ? id : id > 0;
}

/* Returns whether the BTF of a module that is loaded has a function. */
static bool in_loaded_module(const char *name)
{
	DIR *folder = kernel_btf ? opendir("/sys/kernel/btf") : NULL;
	struct dirent *entry;
	bool found = false;

	while (folder && !found && (entry = readdir(folder))) {
		struct btf *btf;

		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "vmlinux"))
			continue;
		btf = btf__load_module_btf(entry->d_name, kernel_btf);
		found = btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
		btf__free(btf);
	}
	if (folder)
		closedir(folder);
	return found;
}

static void read_text(const char *file, char *text, size_t size)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == 0))
		got--;
	text[got > 0 ? got : 0] = 0;
}

/* Read before anything is attached: an LSM program may refuse the very file_open that asks for it. */
static void read_facts(void)
{
	struct utsname names;
	struct sysinfo memory;
	char config[sizeof(names.release) + 16];

	facts.btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	facts.tracefs = access(EVENTS, F_OK) == 0;
	read_text("/sys/kernel/security/lsm", facts.lsm, sizeof(facts.lsm));
	read_text("/sys/kernel/security/lockdown", facts.lockdown, sizeof(facts.lockdown));
	if (sysinfo(&memory) == 0)
		facts.memory_kib = (unsigned long long)memory.totalram * memory.mem_unit / 1024;
	uname(&names);
	snprintf(config, sizeof(config), "/boot/config-%s", names.release);
	facts.config = access(config, R_OK) == 0 || access("/proc/config.gz", R_OK) == 0;
}

/* Returns the type in the kernel's BTF that a section's target has; 0 if it is not there, -1 where that cannot be told. */
static int target_id(const char *section, const char **target)
{
	static const struct { const char *section, *prefix; unsigned int kind; } kinds[] = {
		{ "fentry", "", BTF_KIND_FUNC }, { "fexit", "", BTF_KIND_FUNC }, { "fmod_ret", "", BTF_KIND_FUNC },
		{ "fsession", "", BTF_KIND_FUNC },
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
			return find_type(kinds[i].prefix, *target, kinds[i].kind);
	return -1;
}

/* Returns whether what a section says that its program attaches to is there: 1, 0, or -1 where that cannot be told. */
static int has_target(const char *section, const char **target)
{
	int id = target_id(section, target);
	const char *slash = strchr(section, '/');
	size_t length;

	if (id >= 0)
		return id > 0;
	section += *section == '?';
	length = slash ? (size_t)(slash - section) : 0;
	if (slash && length == strlen("tracepoint") && !strncmp(section, "tracepoint", length)) {
		char file[512];

		snprintf(file, sizeof(file), EVENTS "/%s", *target);
		return access(file, F_OK) == 0 ? 1 : access(EVENTS, F_OK) == 0 ? 0 : -1;
	}
	return -1;
}
