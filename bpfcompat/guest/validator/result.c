/* The result: one JSON document, written as it is found. */
#include "validator.h"

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
