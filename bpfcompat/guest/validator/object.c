/* The object, as its own loader would have it before it loads it. */
#include "validator.h"

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
		const char *way = setting(&program_options, bpf_program__name(program), "attach_type");

		if (type)
			bpf_program__set_type(program, (enum bpf_prog_type)atoi(type));
		if (way)
			bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)atoi(way));
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
