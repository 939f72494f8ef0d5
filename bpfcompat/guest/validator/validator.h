/* What the parts of validator share. They are one program and one translation unit (main.c), so everything is static. */
#ifndef BPFCOMPAT_VALIDATOR_H
#define BPFCOMPAT_VALIDATOR_H

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#if LIBBPF_MAJOR_VERSION > 1 || LIBBPF_MINOR_VERSION >= 6
#define HAS_PREPARE 1 /* libbpf 1.6: what it does before it asks for programs is a step of its own */
#else
#define HAS_PREPARE 0
#define bpf_object__prepare(object) ((void)(object), 0)
#endif

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
	unsigned int calls[64]; /* helpers, by the object itself: libbpf puts bpf_probe_read in the place of newer ones */
	size_t call_count;
	int prepare_errno;      /* libbpf's own work before it asks for any program */
	bool asked;             /* the kernel was asked to load it; then also: */
	int asked_errno;
	uint32_t asked_flags, asked_attach_type;
	int errno_without_flags, errno_without_type; /* of the same question without these; 0 where only these were refused */
	const char *attach_why;
	bool reads_behind; /* what its tracepoint has: one that reads nothing is attached */
};

struct map_result {
	uint32_t asked, given; /* max_entries */
	enum status create;    /* tried only where the object does not load */
	int create_errno;
	int load_create_errno; /* the last that the kernel refused when the object was loaded whole */
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
static int prepare_errno;  /* of the whole object */
static char *object_said;  /* libbpf's words then */
static char *log_buffer;
static char said[1024]; /* libbpf's latest words */
static bool alone;      /* one program is loaded alone: what libbpf says of the object then was said before */
static struct program_result *asked_about; /* the kernel's answer is noted for this program, whose name is: */
static const char *asked_name;
static bool other_refused; /* a program that is loaded with it, and before it */
static char refused_map[BPF_OBJ_NAME_LEN];
static uint32_t refused_map_type;
static int refused_map_errno;
static struct {
	bool btf, tracefs, config;
	char lsm[512], lockdown[512];
	unsigned long long memory_kib;
} facts;
static struct btf *kernel_btf;
static int kernel_btf_errno;
static int traffic_hook_index; /* the interface whose clsact hook has a program of ours */

#endif
