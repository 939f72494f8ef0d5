/* What was found out about each map, each program and the kernel. */
#include "validator.h"

static void put_map(const struct bpf_map *map, const struct map_result *found)
{
	enum bpf_map_type type = bpf_map__type(map);

	open_value(NULL, '{');
	put_text("name", bpf_map__name(map));
	put_text("type", libbpf_bpf_map_type_str(type));
	put_number("type_id", type);
	put_number("max_entries", found->given);
	put_number("declared_max_entries", found->asked);
	put_text("create", found->create == DONE ? "created" : load_words[found->create]);
	put_number("create_errno", found->create_errno);
	put_number("load_create_errno", found->load_create_errno);
	put_number("fixup_errno", found->fixup_errno);
	if (found->create == FAILED || found->load_create_errno) {
		put_known("type_known", knows("bpf_map_type", type));
		put_number("key_bytes", bpf_map__key_size(map));
		put_number("value_bytes", bpf_map__value_size(map));
		put_number("flags", bpf_map__map_flags(map));
		if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS)
			put_bool("inner_known", found->inner > 0 || bpf_map__inner_map((struct bpf_map *)map));
	}
	close_value('}');
}

static void put_numbers(const char *name, const unsigned int *numbers, size_t count)
{
	open_value(name, '[');
	for (size_t i = 0; i < count; i++)
		put_number(NULL, numbers[i]);
	close_value(']');
}

/* How far libbpf came, and what the kernel was asked. */
static void put_question(const struct program_result *found)
{
	put_number("prepare_errno", found->prepare_errno);
	put_bool("asked", found->asked);
	if (!found->asked)
		return;
	put_number("asked_errno", found->asked_errno);
	put_number("asked_flags", found->asked_flags);
	put_number("asked_attach_type", found->asked_attach_type);
	put_number("errno_without_flags", found->errno_without_flags);
	put_number("errno_without_type", found->errno_without_type);
}

static void put_facts(struct bpf_object *object, const struct bpf_program *program, const struct program_result *found)
{
	enum bpf_attach_type attach_type = bpf_program__expected_attach_type(program);
	bool member = bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS; /* then it is the number of a member */
	const char *target;
	int has = has_target(bpf_program__section_name(program), &target);

	put_known("type_known", knows("bpf_prog_type", bpf_program__type(program)));
	put_known("attach_type_known", member ? -1 : knows("bpf_attach_type", attach_type));
	put_known("target_found", has);
	put_bool("core_poisoned", found->poisoned);
	put_numbers("missing_helpers", found->missing_helpers, found->missing_helper_count);
	put_numbers("calls", found->calls, found->call_count);
	if (found->load == FAILED && found->asked && found->asked_errno && !found->log_length)
		put_known("type_offered", libbpf_probe_bpf_prog_type(bpf_program__type(program), NULL));
	put_function(program);
	put_file_of(program);
	put_target(object, program);
}

static void put_program(struct bpf_object *object, const struct bpf_program *program, const struct program_result *found)
{
	open_value(NULL, '{');
	put_text("name", bpf_program__name(program));
	put_text("section", bpf_program__section_name(program));
	put_text("type", libbpf_bpf_prog_type_str(bpf_program__type(program)));
	put_number("type_id", bpf_program__type(program));
	put_number("attach_type_id", bpf_program__expected_attach_type(program));
	put_bool("wanted", found->wanted);
	put_bool("variant_lost", found->variant_lost);
	put_text("load", load_words[found->load]);
	put_number("load_errno", found->load_errno);
	put_text("attach", attach_words[found->attach]);
	put_number("attach_errno", found->attach_errno);
	put_text("attach_skipped", found->attach_why);
	if (found->reads_behind)
		put_bool("reads_behind", true);
	if (found->load == FAILED) {
		put_text("log", found->log);
		put_number("log_bytes", (long long)found->log_length);
		put_text("said", found->said);
		put_question(found);
	}
	if (found->load == FAILED || found->attach == FAILED)
		put_facts(object, program, found);
	close_value('}');
}

static void put_kernel(void)
{
	open_value("kernel", '{');
	put_bool("btf", kernel_btf || (!kernel_btf_errno && facts.btf));
	put_bool("tracefs", facts.tracefs);
	put_bool("config", facts.config);
	put_number("memory_kib", (long long)facts.memory_kib);
	put_text("lsm", facts.lsm);
	put_text("lockdown", facts.lockdown);
	close_value('}');
}

/* What the kernel charges to RLIMIT_MEMLOCK for a map or a program, in bytes; before Linux 5.11 (3ac1f01b43b6). */
static long long charged(int fd)
{
	char name[64], line[128];
	long long bytes = 0;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
	file = fd < 0 ? NULL : fopen(name, "re");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "memlock: %lld", &bytes);
	if (file)
		fclose(file);
	return bytes;
}

/* What all that was loaded takes of that limit, and the limit that a distribution hands on: the kernel's own threads have it. */
static void put_charged(struct bpf_object *object)
{
	struct bpf_program *program;
	struct bpf_map *map;
	struct utsname names;
	struct rlimit usual;
	unsigned int major = 0, minor = 0;
	long long bytes = 0;

	/* By the release: reading the kernel's BTF takes most of a second under emulation, and this is told of what passes. */
	if (uname(&names) < 0 || sscanf(names.release, "%u.%u", &major, &minor) != 2 || major > 5 || (major == 5 && minor > 10))
		return;
	if (prlimit(2, RLIMIT_MEMLOCK, NULL, &usual) < 0)
		return;
	bpf_object__for_each_map(map, object)
		bytes += charged(bpf_map__fd(map));
	bpf_object__for_each_program(program, object)
		bytes += charged(bpf_program__fd(program));
	put_number("charged_kib", bytes / 1024);
	put_number("usual_memlock_kib", (long long)(usual.rlim_cur / 1024));
}

static void put_object(struct bpf_object *object, int load_errno)
{
	struct bpf_program *program;
	struct bpf_map *map;
	size_t index = 0;

	put_bool("object_btf", bpf_object__btf(object));
	put_number("load_errno", load_errno);
	open_value("maps", '[');
	bpf_object__for_each_map(map, object)
		put_map(map, &maps[index++]);
	close_value(']');
	index = 0;
	open_value("programs", '[');
	bpf_object__for_each_program(program, object)
		put_program(object, program, &programs[index++]);
	close_value(']');
	if (!load_errno && strcmp(mode, "open"))
		put_charged(object);
	if (load_errno) {
		put_number("prepare_errno", prepare_errno);
		put_bool("prepared_apart", HAS_PREPARE);
		put_text("said", object_said);
		put_all_missing();
	}
}

static int print(const char *text, size_t length)
{
	if (length > RESULT_AT_MOST)
		die("the result has %zu bytes: this object has too many programs", length);
	return fwrite(text, 1, length, stdout) == length && fflush(stdout) == 0 ? 0 : 2;
}
