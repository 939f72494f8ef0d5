/* What a program is to be attached to: whether it is there, under which names, whether it may be probed, what it takes. */
#include "validator.h"

struct symbols {
	int exact;             /* functions of just that name */
	char module[64];       /* of the last of these, if it is in one */
	char variants[4][512]; /* names that the compiler made of it: name.isra.0 */
	size_t variant_count;
};

static void take_symbol(struct symbols *found, const char *wanted, const char *name, const char *module)
{
	size_t length = strlen(wanted);

	if (!strcmp(name, wanted)) {
		found->exact++;
		snprintf(found->module, sizeof(found->module), "%s", module);
	} else if (!strncmp(name, wanted, length) && name[length] == '.' && !strstr(name, ".cold") && found->variant_count < 4) {
		snprintf(found->variants[found->variant_count++], sizeof(found->variants[0]), "%s", name);
	}
}

/* Returns false where the kernel's symbols cannot be read. */
static bool read_symbols(const char *wanted, struct symbols *found)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[1024], name[512], module[64], type;

	memset(found, 0, sizeof(*found));
	while (file && fgets(line, sizeof(line), file)) {
		*module = 0;
		if (sscanf(line, "%*s %c %511s [%63[^]]]", &type, name, module) < 2 || !strchr("tTwW", type))
			continue;
		take_symbol(found, wanted, name, module);
	}
	if (file)
		fclose(file);
	return file;
}

static int has_symbol(const char *wanted)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[1024], name[512];
	int found = file ? 0 : -1;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*s %*c %511s", name) == 1 && !strcmp(name, wanted);
	if (file)
		fclose(file);
	return found;
}

/* Returns whether a line of a file has a word: 1, 0, or -1 where there is no such file. */
static int lists(const char *file, const char *wanted)
{
	FILE *lines = fopen(file, "re");
	char line[1024];
	int found = lines ? 0 : -1;

	while (lines && !found && fgets(line, sizeof(line), lines)) {
		char *rest = line, *word;

		while (!found && (word = strsep(&rest, " \t\n")))
			found = !strcmp(word, wanted);
	}
	if (lines)
		fclose(lines);
	return found;
}

/* The function that a kprobe, fentry or the like names, without an offset; false for what is no function. */
static bool function_of(const struct bpf_program *program, char *name, size_t size)
{
	static const char *const kinds[] = { "kprobe", "kretprobe", "fentry", "fexit", "fmod_ret", "fsession" };
	const char *told = setting(&program_options, bpf_program__name(program), "attach");
	const char *section = bpf_program__section_name(program), *slash = strchr(section, '/');
	size_t length;

	if (told && (!strncmp(told, "kprobe,", 7) || !strncmp(told, "kretprobe,", 10))) {
		snprintf(name, size, "%s", strchr(told, ',') + 1);
	} else {
		if (!slash)
			return false;
		section += *section == '?';
		length = strcspn(section, "./");
		snprintf(name, size, "%s", slash + 1);
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (strlen(kinds[i]) == length && !strncmp(section, kinds[i], length))
				length = 0;
		if (length)
			return false;
	}
	name[strcspn(name, "+")] = 0;
	return *name && !strpbrk(name, "*?"); /* kprobe.multi takes patterns */
}

/* Whether the guest has the file that a uprobe or a USDT program names. */
static void put_file_of(const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program), *slash = strchr(section, '/');
	char file[512];

	section += *section == '?';
	if (!slash || (strncmp(section, "uprobe", 6) && strncmp(section, "uretprobe", 9) && strncmp(section, "usdt", 4)))
		return;
	snprintf(file, sizeof(file), "%.*s", (int)strcspn(slash + 1, ":"), slash + 1);
	if (*file == '/') {
		put_text("file", file);
		put_bool("file_found", access(file, F_OK) == 0);
	}
}

static void put_function(const struct bpf_program *program)
{
	char name[256];
	struct symbols found;

	if (!function_of(program, name, sizeof(name)) || !read_symbols(name, &found))
		return;
	open_value("function", '{');
	put_text("name", name);
	put_number("symbols", found.exact);
	put_text("module", found.module);
	open_value("variants", '[');
	for (size_t i = 0; i < found.variant_count; i++)
		put_text(NULL, found.variants[i]);
	close_value(']');
	put_known("in_btf", has_function("", name, BTF_KIND_FUNC));
	put_known("traceable", lists("/sys/kernel/tracing/available_filter_functions", name));
	put_known("blacklisted", lists("/sys/kernel/debug/kprobes/blacklist", name));
	close_value('}');
}

/* Writes a type as C has it, as far as one line goes: "struct request *". */
static void describe_type(uint32_t id, char *text, size_t size)
{
	const struct btf_type *type = btf__type_by_id(kernel_btf, id);
	char stars[8] = "";
	const char *kind;

	while (type && (btf_is_mod(type) || btf_is_ptr(type))) {
		if (btf_is_ptr(type) && strlen(stars) < sizeof(stars) - 1)
			strcat(stars, "*");
		id = type->type;
		type = btf__type_by_id(kernel_btf, id);
	}
	kind = !type ? "" : btf_is_struct(type) ? "struct " : btf_is_union(type) ? "union " : btf_is_any_enum(type) ? "enum " : "";
	if (!type || btf_is_void(type))
		snprintf(text, size, "void%s%s", *stars ? " " : "", stars);
	else if (btf_is_func_proto(type))
		snprintf(text, size, "a function");
	else
		snprintf(text, size, "%s%s%s%s", kind, btf__name_by_offset(kernel_btf, type->name_off), *stars ? " " : "", stars);
}

/*
 * What a struct_ops program implements, of this kernel's BTF: libbpf keeps the member's number as its way to attach. The
 * object's maps say of which structure: the first of them that has that member, a function.
 */
static const struct btf_type *implemented(struct bpf_object *object, const struct bpf_program *program, char *name, size_t size)
{
	uint32_t index = (uint32_t)bpf_program__expected_attach_type(program);
	const struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		const struct btf_type *own = btf__type_by_id(bpf_object__btf(object), bpf_map__btf_value_type_id(map)), *type;
		const char *of = own ? btf__name_by_offset(bpf_object__btf(object), own->name_off) : NULL;
		int id = of && bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS ? find_type("", of, BTF_KIND_STRUCT) : 0;

		if (id <= 0 || index >= btf_vlen(btf__type_by_id(kernel_btf, (uint32_t)id)))
			continue;
		type = btf__type_by_id(kernel_btf, (uint32_t)id);
		snprintf(name, size, "%s.%s", of, btf__name_by_offset(kernel_btf, btf_members(type)[index].name_off));
		type = btf__type_by_id(kernel_btf, btf_members(type)[index].type);
		if (btf_is_ptr(type) && btf_is_func_proto(btf__type_by_id(kernel_btf, type->type)))
			return type;
	}
	return NULL;
}

/* The target, and the arguments of what a program is attached to by BTF, if that is there. */
static void put_target(struct bpf_object *object, const struct bpf_program *program)
{
	const char *target;
	const struct btf_type *type;
	int id = target_id(bpf_program__section_name(program), &target), first;
	char member[256];

	/* Not so that it would count as missing otherwise: a module's raw tracepoint is not in this BTF. */
	if (bpf_program__type(program) == BPF_PROG_TYPE_RAW_TRACEPOINT && *target)
		id = find_type("btf_trace_", target, BTF_KIND_TYPEDEF);
	type = id > 0 ? btf__type_by_id(kernel_btf, (uint32_t)id) : NULL;
	if (bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS) {
		type = implemented(object, program, member, sizeof(member));
		target = type ? member : target;
	}
	put_text("target", target);
	first = type && btf_is_typedef(type); /* a tracepoint's own: void *__data */
	while (type && (btf_is_typedef(type) || btf_is_ptr(type) || btf_is_func(type)))
		type = btf__type_by_id(kernel_btf, type->type);
	if (!type || !btf_is_func_proto(type))
		return;
	open_value("arguments", '[');
	for (int i = first; i < btf_vlen(type); i++) {
		char text[160];

		describe_type(btf_params(type)[i].type, text, sizeof(text));
		put_text(NULL, text);
	}
	close_value(']');
	put_bool("returns", type->type != 0);
}
