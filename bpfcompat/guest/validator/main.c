/*
 * Tells what the running kernel does with a BPF object: opens it, loads it, attaches it, runs commands while it is attached.
 *
 *     validator [OPTION...] OBJECT
 *         --mode open|load_only|load_attach|behavior
 *         --map NAME:max_entries=N|cpus     --map NAME:inner=TYPE,KEY BYTES,VALUE BYTES,ENTRIES
 *         --program NAME:load=0|1           --program NAME:type=NUMBER       --program NAME:attach_type=NUMBER
 *         --program NAME:attach=KIND,TARGET
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
#include "validator.h"

/* The order matters: each part uses what stands before it. One unit lets the compiler drop what nobody uses. */
#include "options.c"
#include "result.c"
#include "kernel.c"
#include "asked.c"
#include "target.c"
#include "externs.c"
#include "object.c"
#include "load.c"
#include "attach.c"
#include "tests.c"
#include "report.c"

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
	detach_all(count);
	put_object(object, load_errno);
	if (strcmp(mode, "open"))
		put_kernel();
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
	else
		read_facts();
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
