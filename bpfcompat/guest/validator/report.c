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
	put_number("fixup_errno", found->fixup_errno);
	if (found->create == FAILED)
		put_known("type_known", knows("bpf_map_type", type));
	close_value('}');
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
	open_value("missing_helpers", '[');
	for (size_t i = 0; i < found->missing_helper_count; i++)
		put_number(NULL, found->missing_helpers[i]);
	close_value(']');
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
	}
	if (found->load == FAILED || found->attach == FAILED)
		put_facts(program, found);
	close_value('}');
}

/*
 * Functions of the kernel that the object calls by name (kfuncs) and that are not in the kernel's BTF. In its own copy of
 * the object's BTF libbpf 1.1 has replaced them by variables, so the file is read again.
 */
static void put_missing_functions(void)
{
	struct btf *btf = btf__parse_elf(path, NULL);
	int id = btf ? btf__find_by_name_kind(btf, ".ksyms", BTF_KIND_DATASEC) : -1;
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	open_value("missing_functions", '[');
	for (int i = 0; section && i < btf_vlen(section); i++) {
		const struct btf_type *type = btf__type_by_id(btf, btf_var_secinfos(section)[i].type);
		const char *name = type ? btf__name_by_offset(btf, type->name_off) : NULL;

		if (name && btf_is_func(type) && has_function("", name, BTF_KIND_FUNC) == 0)
			put_text(NULL, name);
	}
	close_value(']');
	btf__free(btf);
}

static void put_kernel(void)
{
	open_value("kernel", '{');
	put_bool("btf", kernel_btf || (!kernel_btf_errno && access("/sys/kernel/btf/vmlinux", R_OK) == 0));
	put_bool("tracefs", access(EVENTS, F_OK) == 0);
	put_file("lsm", "/sys/kernel/security/lsm");
	put_file("lockdown", "/sys/kernel/security/lockdown");
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
	if (load_errno)
		put_missing_functions();
}

static int print(const char *text, size_t length)
{
	if (length > RESULT_AT_MOST)
		die("the result has %zu bytes: this object has too many programs", length);
	return fwrite(text, 1, length, stdout) == length && fflush(stdout) == 0 ? 0 : 2;
}
