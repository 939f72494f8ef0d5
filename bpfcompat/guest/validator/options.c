/* The command line, which the host's manifest.py writes. */
#include "validator.h"

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
