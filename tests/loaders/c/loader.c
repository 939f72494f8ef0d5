/* Loads the object that is named, as a loader on libbpf does it, and attaches what its sections say. */
#include <stdio.h>
#include <string.h>
#include <bpf/libbpf.h>

int main(int count, char **arguments)
{
	struct bpf_object *object = count > 1 ? bpf_object__open_file(arguments[1], NULL) : NULL;
	struct bpf_program *program;

	if (!object || bpf_object__load(object)) {
		fprintf(stderr, "the object was not loaded\n");
		return 1;
	}
	bpf_object__for_each_program(program, object) {
		const char *section = bpf_program__section_name(program);
		bool to_interface = !strncmp(section, "xdp", 3);
		struct bpf_link *link = to_interface ? bpf_program__attach_xdp(program, 1) : bpf_program__attach(program);

		if (!link && strchr(section, '/')) {
			fprintf(stderr, "%s was not attached\n", bpf_program__name(program));
			return 1;
		}
	}
	return 0;
}
