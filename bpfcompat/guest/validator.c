/*
 * Tells what the running kernel does with a BPF object: opens it, loads it, attaches it, runs commands while it is attached.
 *
 *     validator [OPTION...] OBJECT
 *         --mode open|load_only|load_attach|behavior
 *         --map NAME:max_entries=N|cpus     --map NAME:inner=TYPE,KEY BYTES,VALUE BYTES,ENTRIES
 *         --program NAME:load=0|1           --program NAME:type=NUMBER       --program NAME:attach=KIND,TARGET
 *         --variant GROUP:NAME[:helper=NUMBER|:trial]                        --companion NAME
 *         --test SECONDS:COMMAND
 *
 * It judges nothing. What it finds is one JSON document on stdout, with errno values and with facts that need no text to
 * be read: which types, attach types and helpers this kernel's own BTF lists. It ends with 0 if that document is whole,
 * whatever stands in it. libbpf's log goes to stderr.
 *
 * An object that loads is loaded once. Only if it does not, each program is loaded alone, so that one does not hide the
 * rest: under emulation libbpf takes most of a second to read a kernel's BTF for each.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#define PROGRAMS_AT_MOST 1024
#define MAPS_AT_MOST 1024
#define OPTIONS_AT_MOST 4096
#define LOG_SIZE 16777215 /* all that kernels before 5.2 accept; those before 6.4 fail with ENOSPC if it is too small */
#define LOG_KEPT 8192
#define LOGS_KEPT (128 * 1024) /* of all programs together; after that LOG_SHORT of each */
#define LOG_SHORT 256
#define RESULT_AT_MOST (500 * 1024) /* init keeps 512 KiB of a stream without a gap */
#define TAIL 4096
#define OPEN_SECONDS 30 /* for opening an object, which takes milliseconds; loading is bounded by the guest's own clock */
#define POISONED_CALL 195896080 /* 0xbad2310: libbpf puts this call where a CO-RE relocation found no target */
#define CGRP_STORAGE 32 /* BPF_MAP_TYPE_CGRP_STORAGE, Linux 6.2: older headers than that do not name it */
#define EVENTS "/sys/kernel/tracing/events"
#define INTERFACE "bpfcompat0"
#define CGROUP "/sys/fs/cgroup/bpfcompat-validator"

enum status { SKIPPED, DONE, FAILED };
static const char *const load_words[] = { "skipped", "loaded", "failed" };
static const char *const attach_words[] = { "skipped", "attached", "failed" };

struct program_result {
	enum status load, attach;
	int load_errno, attach_errno;
	bool wanted;       /* part of the object as its loader would load it */
	bool variant_lost; /* another of its group was chosen */
	bool poisoned;
	char *log, *said;  /* the verifier's words, and libbpf's */
	size_t log_length;
	unsigned int missing_helpers[16];
	size_t missing_helper_count;
	const char *attach_why;
};

struct map_result {
	uint32_t asked, given; /* max_entries */
	enum status create;    /* tried only where the object does not load */
	int create_errno;
	int fixup_errno;
	int inner; /* of a map of maps: made once for all the times that the object is opened; 0 if it is not made */
};

struct option_list {
	const char *values[OPTIONS_AT_MOST];
	size_t count;
};

static const char *mode = "load_attach", *path;
static struct option_list map_options, program_options, variants, companions, tests;
static struct program_result programs[PROGRAMS_AT_MOST];
static struct map_result maps[MAPS_AT_MOST];
static struct bpf_link *links[PROGRAMS_AT_MOST];
static char *log_buffer;
static char said[1024]; /* libbpf's latest words */
static bool alone;      /* one program is loaded alone: what libbpf says of the object then was said before */
static struct btf *kernel_btf;
static int kernel_btf_errno;
static int traffic_hook_index; /* the interface whose clsact hook has a program of ours */

/* ---- options ---- */

static _Noreturn void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("validator: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

static void add(struct option_list *list, const char *value)
{
	if (list->count == OPTIONS_AT_MOST)
		die("more than %d options of a kind", OPTIONS_AT_MOST);
	list->values[list->count++] = value;
}

static void parse(int count, char **arguments)
{
	static const struct { const char *name; struct option_list *list; } lists[] = {
		{ "--map", &map_options }, { "--program", &program_options }, { "--variant", &variants },
		{ "--companion", &companions }, { "--test", &tests },
	};

	for (int i = 1; i < count; i++) {
		bool known = false;

		if (i == count - 1) {
			path = arguments[i];
			return;
		}
		if (!strcmp(arguments[i], "--mode")) {
			mode = arguments[++i];
			continue;
		}
		for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]) && !known; k++) {
			known = !strcmp(arguments[i], lists[k].name);
			if (known)
				add(lists[k].list, arguments[++i]);
		}
		if (!known)
			die("unknown option %s", arguments[i]);
	}
	die("no object is named");
}

/* Returns what stands behind "NAME:KEY=" in one of the options, or NULL. */
static const char *setting(const struct option_list *list, const char *name, const char *key)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < list->count; i++) {
		const char *rest = list->values[i] + length;

		if (strncmp(list->values[i], name, length) || *rest != ':' || strncmp(rest + 1, key, strlen(key)))
			continue;
		if (rest[1 + strlen(key)] == '=')
			return rest + 2 + strlen(key);
	}
	return NULL;
}

static bool is_companion(const char *name)
{
	for (size_t i = 0; i < companions.count; i++)
		if (!strcmp(companions.values[i], name))
			return true;
	return false;
}

/* ---- the result ---- */

static FILE *result;
static bool first_member = true;

static void json_text(const char *text, size_t length)
{
	fputc('"', result);
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)text[i];

		if (byte == '"' || byte == '\\')
			fprintf(result, "\\%c", byte);
		else if (byte < 0x20 || byte == 0x7f)
			fprintf(result, "\\u%04x", byte);
		else
			fputc(byte, result); /* what is not UTF-8 is for the reader to replace */
	}
	fputc('"', result);
}

/* name: NULL for an element of a list. */
static void key(const char *name)
{
	if (!first_member)
		fputc(',', result);
	first_member = false;
	if (name) {
		json_text(name, strlen(name));
		fputc(':', result);
	}
}

static void open_value(const char *name, char bracket)
{
	key(name);
	fputc(bracket, result);
	first_member = true;
}

static void close_value(char bracket)
{
	fputc(bracket, result);
	first_member = false;
}

static void put_text(const char *name, const char *text)
{
	key(name);
	json_text(text ? text : "", text ? strlen(text) : 0);
}

static void put_number(const char *name, long long number)
{
	key(name);
	fprintf(result, "%lld", number);
}

static void put_bool(const char *name, bool value)
{
	key(name);
	fputs(value ? "true" : "false", result);
}

/* known: -1 where it cannot be told. */
static void put_known(const char *name, int known)
{
	key(name);
	fputs(known < 0 ? "null" : known ? "true" : "false", result);
}

static void put_file(const char *name, const char *file)
{
	char text[512];
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text));

	if (fd >= 0)
		close(fd);
	while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == 0))
		got--;
	key(name);
	json_text(text, got > 0 ? (size_t)got : 0);
}

/* ---- what this kernel knows, by its own BTF ---- */

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

/* ---- the object, as its own loader would have it before it loads it ---- */

/* Sizes that a loader sets at run time; without them such a map cannot be made on any kernel. */
static uint32_t usual_entries(enum bpf_map_type type)
{
	switch ((int)type) {
	case BPF_MAP_TYPE_RINGBUF:
	case BPF_MAP_TYPE_USER_RINGBUF:
		return 256 * 1024;
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY: /* libbpf itself gives these one entry for each processor */
	case BPF_MAP_TYPE_SK_STORAGE:
	case BPF_MAP_TYPE_INODE_STORAGE:
	case BPF_MAP_TYPE_TASK_STORAGE:
	case CGRP_STORAGE:
	case BPF_MAP_TYPE_CGROUP_STORAGE:
	case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
	case BPF_MAP_TYPE_STRUCT_OPS:
		return 0;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
	case BPF_MAP_TYPE_LPM_TRIE:
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK:
	case BPF_MAP_TYPE_BLOOM_FILTER:
		return 1024;
	default:
		return type <= BPF_MAP_TYPE_USER_RINGBUF ? (uint32_t)libbpf_num_possible_cpus() : 0;
	}
}

static int set_inner(struct bpf_map *map, const char *how, int *inner)
{
	unsigned int type, key_bytes, value_bytes, entries;

	if (sscanf(how, "%u,%u,%u,%u", &type, &key_bytes, &value_bytes, &entries) != 4)
		die("%s is not TYPE,KEY BYTES,VALUE BYTES,ENTRIES", how);
	if (*inner <= 0)
		*inner = bpf_map_create((enum bpf_map_type)type, NULL, key_bytes, value_bytes, entries, NULL);
	return *inner < 0 || bpf_map__set_inner_map_fd(map, *inner) ? errno : 0;
}

static void prepare_map(struct bpf_map *map, struct map_result *found)
{
	const char *entries = setting(&map_options, bpf_map__name(map), "max_entries");
	const char *inner = setting(&map_options, bpf_map__name(map), "inner");

	found->asked = bpf_map__max_entries(map);
	if (entries)
		found->given = !strcmp(entries, "cpus") ? (uint32_t)libbpf_num_possible_cpus() : (uint32_t)strtoul(entries, NULL, 10);
	else
		found->given = found->asked ? found->asked : usual_entries(bpf_map__type(map));
	if (found->given != found->asked && bpf_map__set_max_entries(map, found->given))
		found->fixup_errno = errno;
	if (inner && strcmp(mode, "open"))
		found->fixup_errno = set_inner(map, inner, &found->inner);
}

static struct bpf_object *open_object(void)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	struct bpf_map *map;
	size_t index = 0;

	if (!object)
		return NULL;
	bpf_object__for_each_map(map, object)
		if (index < MAPS_AT_MOST)
			prepare_map(map, &maps[index++]);
	bpf_object__for_each_program(program, object) {
		const char *type = setting(&program_options, bpf_program__name(program), "type");

		if (type)
			bpf_program__set_type(program, (enum bpf_prog_type)atoi(type));
	}
	return object;
}

static size_t count_programs(struct bpf_object *object)
{
	struct bpf_program *program;
	size_t count = 0;

	bpf_object__for_each_program(program, object)
		count++;
	return count;
}

static size_t count_maps(struct bpf_object *object)
{
	struct bpf_map *map;
	size_t count = 0;

	bpf_object__for_each_map(map, object)
		count++;
	return count;
}

/* ---- loading ---- */

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
	alone = true;
	found->load_errno = bpf_object__load(object) ? errno : 0;
	alone = false;
	found->load = found->load_errno ? FAILED : DONE;
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

/* Loads the object whole; where that fails, each program alone. Returns errno. */
static int load(struct bpf_object *object, size_t count)
{
	int error = bpf_object__load(object) ? errno : 0;

	if (error)
		create_maps_alone(object);
	for (size_t i = 0; i < count; i++) {
		if (!error && programs[i].wanted)
			programs[i].load = DONE;
		else if (!programs[i].variant_lost && programs[i].load == SKIPPED)
			load_alone(i);
	}
	return error;
}

/* ---- attaching ---- */

static int run_quietly(const char *const *arguments)
{
	pid_t child = fork();
	int status = 1;

	if (child == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDOUT_FILENO);
		execvp(arguments[0], (char *const *)arguments);
		_exit(127);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	return status;
}

/* Returns an interface to try network programs on: one end of a pair, or lo where this kernel has no veth. */
static unsigned int interface(void)
{
	static const char *const make[] = { "ip", "link", "add", INTERFACE, "type", "veth", "peer", "name", "bpfcompat1", NULL };
	static const char *const up[] = { "ip", "link", "set", INTERFACE, "up", NULL };
	static unsigned int index;

	if (index)
		return index;
	if (run_quietly(make) == 0)
		run_quietly(up);
	index = if_nametoindex(INTERFACE);
	if (!index)
		index = if_nametoindex("lo");
	return index;
}

static int cgroup(void)
{
	static int fd = -1;

	if (fd < 0) {
		mkdir(CGROUP, 0755);
		fd = open(CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd;
}

/* Attaches a program to the ingress of an interface by tc's own filter, or as its section says by a link (tcx). */
static bool attach_to_traffic(struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)interface(), .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = bpf_program__fd(program));
	int error;

	/* By the section's name: libbpf 1.3 and newer have the same attach type for tc/, which old kernels take. */
	if (!strncmp(bpf_program__section_name(program), "tcx/", 4)) /* the link is gone with this process */
		return bpf_link_create(bpf_program__fd(program), hook.ifindex, bpf_program__expected_attach_type(program), NULL) >= 0;
	error = bpf_tc_hook_create(&hook);
	if (error && error != -EEXIST) {
		errno = -error;
		return false;
	}
	error = bpf_tc_attach(&hook, &options);
	errno = -error;
	traffic_hook_index = hook.ifindex;
	return !error;
}

/* Attaches to what the manifest names, for sections that name nothing: KIND,TARGET. */
static struct bpf_link *attach_as_told(struct bpf_program *program, const char *how)
{
	const char *target = strchrnul(how, ','), *name;
	char category[128];

	if (*target)
		target++;
	if (!strncmp(how, "kprobe,", 7))
		return bpf_program__attach_kprobe(program, false, target);
	if (!strncmp(how, "kretprobe,", 10))
		return bpf_program__attach_kprobe(program, true, target);
	if (!strncmp(how, "raw_tracepoint,", 15))
		return bpf_program__attach_raw_tracepoint(program, target);
	name = strchr(target, '/');
	if (strncmp(how, "tracepoint,", 11) || !name || name - target >= (long)sizeof(category))
		die("%s is not KIND,TARGET", how);
	snprintf(category, sizeof(category), "%.*s", (int)(name - target), target);
	return bpf_program__attach_tracepoint(program, category, name + 1);
}

static bool names_target(const char *section)
{
	const char *slash = strchr(section, '/');

	return slash && slash[1];
}

/* Attaches a program where its section alone says to what; returns why nothing can be attached, or NULL. */
static const char *attach_link(struct bpf_program *program, struct bpf_link **link)
{
	const char *section = bpf_program__section_name(program);

	switch (bpf_program__type(program)) {
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
	case BPF_PROG_TYPE_TRACING:
	case BPF_PROG_TYPE_LSM:
		if (bpf_program__expected_attach_type(program) == BPF_LSM_CGROUP)
			*link = bpf_program__attach_cgroup(program, cgroup());
		else if (names_target(section))
			*link = bpf_program__attach(program);
		else
			return "its section names nothing to attach to";
		return NULL;
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_CGROUP_DEVICE:
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
	case BPF_PROG_TYPE_CGROUP_SYSCTL:
	case BPF_PROG_TYPE_CGROUP_SOCKOPT:
	case BPF_PROG_TYPE_SOCK_OPS:
		*link = bpf_program__attach_cgroup(program, cgroup());
		return NULL;
	case BPF_PROG_TYPE_XDP:
		if (bpf_program__expected_attach_type(program) == BPF_XDP_DEVMAP || bpf_program__expected_attach_type(program) == BPF_XDP_CPUMAP)
			return "it is for a slot of a map";
		*link = bpf_program__attach_xdp(program, (int)interface());
		return NULL;
	case BPF_PROG_TYPE_SK_LOOKUP:
	case BPF_PROG_TYPE_FLOW_DISSECTOR:
		*link = bpf_program__attach_netns(program, open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
		return NULL;
	default:
		return "only its own loader knows what to attach it to";
	}
}

static void attach(struct bpf_program *program, struct program_result *found, struct bpf_link **link)
{
	const char *told = setting(&program_options, bpf_program__name(program), "attach");
	bool attached;

	errno = 0;
	if (told) {
		*link = attach_as_told(program, told);
		attached = *link;
	} else if (bpf_program__type(program) == BPF_PROG_TYPE_SCHED_CLS && strncmp(bpf_program__section_name(program), "netkit/", 7)) {
		attached = attach_to_traffic(program);
	} else {
		found->attach_why = attach_link(program, link);
		attached = *link;
	}
	found->attach_errno = attached ? 0 : errno;
	found->attach = found->attach_why ? SKIPPED : attached ? DONE : FAILED;
}

static void attach_all(struct bpf_object *object)
{
	struct bpf_program *program;
	size_t index = 0;

	bpf_object__for_each_program(program, object) {
		if (programs[index].wanted && programs[index].load == DONE)
			attach(program, &programs[index], &links[index]);
		index++;
	}
}

static void detach_all(size_t count)
{
	static const char *const unmake[] = { "ip", "link", "delete", INTERFACE, NULL };

	for (size_t i = 0; i < count; i++)
		bpf_link__destroy(links[i]);
	if (traffic_hook_index) {
		LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = traffic_hook_index, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

		bpf_tc_hook_destroy(&hook);
	}
	if (if_nametoindex(INTERFACE))
		run_quietly(unmake);
	rmdir(CGROUP);
}

/* ---- commands while the programs are attached ---- */

struct tail {
	char bytes[2 * TAIL];
	size_t length;
	unsigned long long total;
};

static bool take(int fd, struct tail *tail)
{
	ssize_t got = read(fd, tail->bytes + tail->length, TAIL);

	if (got <= 0)
		return false;
	tail->total += (unsigned long long)got;
	tail->length += (size_t)got;
	if (tail->length > TAIL) {
		memmove(tail->bytes, tail->bytes + tail->length - TAIL, TAIL);
		tail->length = TAIL;
	}
	return true;
}

static long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static pid_t start(const char *command, int *out, int *err)
{
	int pipes[2][2];
	pid_t child;

	if (pipe2(pipes[0], O_CLOEXEC) < 0 || pipe2(pipes[1], O_CLOEXEC) < 0)
		die("no pipe: %s", strerror(errno));
	child = fork();
	if (child < 0)
		die("no process: %s", strerror(errno));
	if (child == 0) {
		setsid();
		dup2(pipes[0][1], STDOUT_FILENO);
		dup2(pipes[1][1], STDERR_FILENO);
		execl("/bin/bash", "bash", "-lc", command, (char *)NULL);
		_exit(127);
	}
	close(pipes[0][1]);
	close(pipes[1][1]);
	*out = pipes[0][0];
	*err = pipes[1][0];
	return child;
}

static void put_tail(const char *name, const struct tail *tail)
{
	char total[64];

	key(name);
	json_text(tail->bytes, tail->length);
	snprintf(total, sizeof(total), "%s_bytes", name);
	put_number(total, (long long)tail->total);
}

static void run_test(const char *test)
{
	static struct tail out, err;
	const char *command = strchr(test, ':');
	long long began = milliseconds(), end = began + (long long)(atof(test) * 1000), left;
	struct pollfd ports[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool timed_out = false;
	int status = 0;
	pid_t child;

	if (!command)
		die("%s is not SECONDS:COMMAND", test);
	memset(&out, 0, sizeof(out));
	memset(&err, 0, sizeof(err));
	child = start(command + 1, &ports[0].fd, &ports[1].fd);
	/* What it leaves running with its output open ends with it: the clock is the command's own. */
	while (waitpid(child, &status, WNOHANG) == 0) {
		left = end - milliseconds();
		if (left <= 0) {
			timed_out = true;
			kill(-child, SIGKILL);
			waitpid(child, &status, 0);
			break;
		}
		if (poll(ports, 2, left < 20 ? (int)left : 20) <= 0)
			continue;
		if (ports[0].revents && !take(ports[0].fd, &out))
			ports[0].fd = -1;
		if (ports[1].revents && !take(ports[1].fd, &err))
			ports[1].fd = -1;
	}
	kill(-child, SIGKILL);
	for (int i = 0; i < 2; i++) {
		fcntl(ports[i].fd, F_SETFL, O_NONBLOCK);
		while (ports[i].fd >= 0 && take(ports[i].fd, i ? &err : &out))
			continue;
		close(ports[i].fd);
	}
	open_value(NULL, '{');
	put_number("wait_status", status);
	put_bool("timed_out", timed_out);
	put_number("duration_ms", milliseconds() - began);
	put_tail("stdout", &out);
	put_tail("stderr", &err);
	close_value('}');
}

/* ---- the whole ---- */

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

static void examine(struct bpf_object *object)
{
	size_t count = count_programs(object);
	int load_errno = 0;

	if (count > PROGRAMS_AT_MOST || count_maps(object) > MAPS_AT_MOST)
		die("the object has more than %d programs or maps", PROGRAMS_AT_MOST);
	choose_programs(object);
	if (strcmp(mode, "open")) {
		load_errno = load(object, count);
		if (!load_errno && strcmp(mode, "load_only"))
			attach_all(object);
	}
	if (!load_errno && !strcmp(mode, "behavior")) {
		open_value("tests", '[');
		for (size_t i = 0; i < tests.count; i++)
			run_test(tests.values[i]);
		close_value(']');
	}
	put_object(object, load_errno);
	if (strcmp(mode, "open"))
		put_kernel();
	detach_all(count);
}

static void begin_result(void)
{
	open_value(NULL, '{');
	put_text("libbpf", libbpf_version_string());
	put_text("mode", mode);
}

static int work(void)
{
	struct bpf_object *object;
	char *text = NULL;
	size_t length = 0;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(hear);
	log_buffer = malloc(LOG_SIZE);
	result = open_memstream(&text, &length);
	if (!log_buffer || !result)
		die("out of memory");
	begin_result();
	if (!strcmp(mode, "open"))
		alarm(OPEN_SECONDS);
	object = open_object();
	put_number("open_errno", object ? 0 : errno);
	if (object)
		examine(object);
	close_value('}');
	fputc('\n', result);
	fclose(result);
	return print(text, length);
}

/* libbpf 1.1 crashes on one damaged object in 1,500, so it is a child that reads them. */
int main(int argument_count, char **arguments)
{
	int status = 0;
	pid_t child;

	parse(argument_count, arguments);
	child = fork();
	if (child == 0)
		exit(work());
	if (child < 0 || waitpid(child, &status, 0) < 0)
		die("no process: %s", strerror(errno));
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	result = stdout;
	begin_result();
	put_number("crashed", WTERMSIG(status));
	close_value('}');
	return fputc('\n', result) == EOF || fflush(result) ? 2 : 0;
}
