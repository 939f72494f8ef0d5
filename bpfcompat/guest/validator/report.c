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

static void put_facts(const struct bpf_program *program, const struct program_result *found)
{
	enum bpf_attach_type attach_type = bpf_program__expected_attach_type(program);
	const char *target;
	int has = has_target(bpf_program__section_name(program), &target);

	put_known("type_known", knows("bpf_prog_type", bpf_program__type(program)));
	put_known("attach_type_known", knows("bpf_attach_type", attach_type));
	put_text("target", target);
	put_known("target_found", has);
	put_bool("core_poisoned", found->poisoned);
	put_numbers("missing_helpers", found->missing_helpers, found->missing_helper_count);
	put_numbers("calls", found->calls, found->call_count);
	if (found->load == FAILED && found->asked && found->asked_errno && !found->log_length)
		put_known("type_offered", libbpf_probe_bpf_prog_type(bpf_program__type(program), NULL));
	put_function(program);
	put_file_of(program);
	put_arguments(program);
}

static void put_program(const struct bpf_program *program, const struct program_result *found)
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
	if (found->load == FAILED) {
		put_text("log", found->log);
		put_number("log_bytes", (long long)found->log_length);
		put_text("said", found->said);
		put_question(found);
	}
	if (found->load == FAILED || found->attach == FAILED)
		put_facts(program, found);
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
	put_text("unknown_words", facts.unknown);
	close_value('}');
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
		put_program(program, &programs[index++]);
	close_value(']');
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
