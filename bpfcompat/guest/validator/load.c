/* Loading: the object whole; where that fails, each program and each map alone. */
#include "validator.h"

static void inspect_instructions(struct bpf_program *program, struct program_result *found)
{
	const struct bpf_insn *instructions = bpf_program__insns(program);
	size_t count = bpf_program__insn_cnt(program);

	for (size_t i = 0; i < count; i++) {
		const struct bpf_insn *one = &instructions[i];
		bool known = false;

		if (one->code != (BPF_JMP | BPF_CALL) || one->src_reg != 0)
			continue;
		if (one->imm == POISONED_CALL) {
			found->poisoned = true;
			continue;
		}
		for (size_t k = 0; k < found->missing_helper_count; k++)
			known = known || found->missing_helpers[k] == (unsigned int)one->imm;
		if (!known && found->missing_helper_count < 16 && knows("bpf_func_id", (unsigned int)one->imm) == 0)
			found->missing_helpers[found->missing_helper_count++] = (unsigned int)one->imm;
	}
}

/* The helpers that the object itself calls; to be asked before libbpf has replaced any. */
static void note_calls(struct bpf_program *program, struct program_result *found)
{
	const struct bpf_insn *instructions = bpf_program__insns(program);
	size_t count = bpf_program__insn_cnt(program);

	for (size_t i = 0; i < count && found->call_count < 64; i++) {
		bool known = instructions[i].code != (BPF_JMP | BPF_CALL) || instructions[i].src_reg;

		for (size_t k = 0; k < found->call_count && !known; k++)
			known = found->calls[k] == (unsigned int)instructions[i].imm;
		if (!known)
			found->calls[found->call_count++] = (unsigned int)instructions[i].imm;
	}
}

static void keep_log(struct program_result *found)
{
	static size_t kept;
	size_t length = strnlen(log_buffer, LOG_SIZE), most = kept < LOGS_KEPT ? LOG_KEPT : LOG_SHORT;
	size_t part = length < most ? length : most;

	/* The end of it says what was wrong. */
	found->log = strndup(log_buffer + length - part, part);
	found->log_length = length;
	kept += part;
}

static int hear(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[256];
	size_t length, used = strlen(said);
	va_list again;

	if (level == LIBBPF_DEBUG)
		return 0;
	va_copy(again, arguments);
	vsnprintf(line, sizeof(line), format, again);
	va_end(again);
	length = strlen(line);
	if (used + length >= sizeof(said)) {
		memmove(said, said + used / 2, used - used / 2 + 1);
		used = strlen(said);
	}
	if (used + length < sizeof(said))
		memcpy(said + used, line, length + 1);
	return alone ? 0 : vfprintf(stderr, format, arguments);
}

/* Loads one program of the object alone, or with those that it cannot do without. */
static void load_alone(size_t wanted)
{
	struct bpf_object *object = open_object();
	struct program_result *found = &programs[wanted];
	struct bpf_program *program, *tried = NULL;
	size_t index = 0;

	if (!object)
		die("%s cannot be opened a second time: %s", path, strerror(errno));
	bpf_object__for_each_program(program, object) {
		bool chosen = index++ == wanted;

		if (chosen)
			tried = program;
		bpf_program__set_autoload(program, chosen || is_companion(bpf_program__name(program)));
	}
	log_buffer[0] = said[0] = 0;
	bpf_program__set_log_buf(tried, log_buffer, LOG_SIZE);
	note_calls(tried, found);
	alone = true;
	asked_about = found;
	other_refused = false;
	asked_name = bpf_program__name(tried);
	found->prepare_errno = bpf_object__prepare(object) ? errno : 0;
	found->load_errno = found->prepare_errno ? found->prepare_errno : bpf_object__load(object) ? errno : 0;
	asked_about = NULL;
	alone = false;
	found->load = !found->load_errno ? DONE : !found->asked && other_refused ? SKIPPED : FAILED;
	if (found->load_errno) {
		keep_log(found);
		found->said = strdup(said);
		inspect_instructions(tried, found);
		if (found->log_length)
			fprintf(stderr, "validator: '%s', loaded alone:\n%s", bpf_program__name(tried), found->log);
	}
	bpf_object__close(object);
}

/* Tells which maps this kernel refuses, where that can be told without the object around them. */
static void create_maps_alone(struct bpf_object *object)
{
	struct bpf_map *map;
	size_t index = 0;

	bpf_object__for_each_map(map, object) {
		LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = bpf_map__map_flags(map), .numa_node = bpf_map__numa_node(map));
		struct map_result *found = &maps[index++];
		uint32_t entries = found->given;
		int fd;

		switch ((int)bpf_map__type(map)) {
		case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
			entries = entries ? entries : (uint32_t)libbpf_num_possible_cpus();
			break;
		case BPF_MAP_TYPE_ARRAY_OF_MAPS: /* these want another map, or types of the object */
		case BPF_MAP_TYPE_HASH_OF_MAPS:
		case BPF_MAP_TYPE_STRUCT_OPS:
		case BPF_MAP_TYPE_SK_STORAGE:
		case BPF_MAP_TYPE_INODE_STORAGE:
		case BPF_MAP_TYPE_TASK_STORAGE:
		case CGRP_STORAGE:
			continue;
		default:
			break;
		}
		fd = bpf_map_create(bpf_map__type(map), NULL, bpf_map__key_size(map), bpf_map__value_size(map), entries, &options);
		found->create_errno = fd < 0 ? errno : 0;
		found->create = fd < 0 ? FAILED : DONE;
		if (fd >= 0)
			close(fd);
	}
}

static struct bpf_program *program_named(struct bpf_object *object, const char *name, size_t length, size_t *index)
{
	struct bpf_program *program;

	*index = 0;
	bpf_object__for_each_program(program, object) {
		const char *known = bpf_program__name(program);

		if (strlen(known) == length && !strncmp(known, name, length))
			return program;
		++*index;
	}
	die("the object has no program %.*s", (int)length, name);
}

/* Tells whether a variant "NAME[:helper=NUMBER|:trial]" can be used on this kernel. */
static bool usable(struct bpf_object *object, const char *variant, size_t *index)
{
	const char *how = strchrnul(variant, ':');
	struct bpf_program *program = program_named(object, variant, (size_t)(how - variant), index);
	unsigned int helper;

	if (sscanf(how, ":helper=%u", &helper) == 1)
		return libbpf_probe_bpf_helper(bpf_program__type(program), (enum bpf_func_id)helper, NULL) == 1;
	if (strcmp(how, ":trial"))
		return true;
	load_alone(*index);
	return programs[*index].load == DONE;
}

/* Of each group the first program that this kernel can use is loaded, as the project's own loader would do it. */
static void choose_variants(struct bpf_object *object)
{
	for (size_t i = 0; i < variants.count; i++) {
		const char *group = variants.values[i], *colon = strchr(group, ':');
		size_t length = colon ? (size_t)(colon - group) + 1 : 0, index;
		bool chosen = false;

		if (!colon)
			die("%s is not GROUP:NAME", group);
		for (size_t k = 0; k < i && length; k++)
			if (!strncmp(variants.values[k], group, length))
				length = 0; /* its group was seen to before */
		for (size_t k = i; k < variants.count && length; k++) {
			const char *variant = variants.values[k] + length;

			if (strncmp(variants.values[k], group, length))
				continue;
			if (!chosen && usable(object, variant, &index)) {
				chosen = true;
				continue;
			}
			program_named(object, variant, strcspn(variant, ":"), &index);
			programs[index].wanted = false;
			programs[index].variant_lost = true;
		}
	}
}

static void choose_programs(struct bpf_object *object)
{
	struct bpf_program *program;
	size_t index = 0;

	bpf_object__for_each_program(program, object) {
		const char *load = setting(&program_options, bpf_program__name(program), "load");

		programs[index++].wanted = load ? *load == '1' : bpf_program__autoload(program);
	}
	if (strcmp(mode, "open"))
		choose_variants(object);
	index = 0;
	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, programs[index++].wanted);
}

/* Notes at which of its maps the loading of the object ended, if it was one: the last that was refused, and libbpf gave up. */
static void note_refused_map(struct bpf_object *object)
{
	struct bpf_map *map;
	size_t index = 0;

	bpf_object__for_each_map(map, object) {
		struct map_result *found = &maps[index++];

		if (refused_map_errno && *refused_map && bpf_map__type(map) == refused_map_type
		    && same_name(refused_map, bpf_map__name(map)))
			found->load_create_errno = refused_map_errno;
	}
}

/* Loads the object whole; where that fails, each program alone. Returns errno. */
static int load(struct bpf_object *object, size_t count)
{
	int error;

	refused_map_errno = 0;
	prepare_errno = bpf_object__prepare(object) ? errno : 0;
	error = prepare_errno ? prepare_errno : bpf_object__load(object) ? errno : 0;
	if (error) {
		note_refused_map(object);
		object_said = strdup(said);
		create_maps_alone(object);
	}
	for (size_t i = 0; i < count; i++) {
		if (!error && programs[i].wanted)
			programs[i].load = DONE;
		else if (!programs[i].variant_lost && programs[i].load == SKIPPED)
			load_alone(i);
	}
	return error;
}
