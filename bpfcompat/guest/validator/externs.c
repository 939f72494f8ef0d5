/* What an object wants of the kernel by name: functions (kfuncs) and variables (ksyms), as far as they are not there. */
#include "validator.h"

/* Returns whether the object can do without a symbol, by its ELF symbol; its BTF does not tell. */
static bool is_weak(Elf *elf, const char *name)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	GElf_Sym symbol;

	while (elf && (section = elf_nextscn(elf, section))) {
		Elf_Data *data;

		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_SYMTAB || !(data = elf_getdata(section, NULL)))
			continue;
		for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
			const char *known = elf_strptr(elf, header.sh_link, symbol.st_name);

			if (known && !strcmp(known, name) && symbol.st_shndx == SHN_UNDEF)
				return GELF_ST_BIND(symbol.st_info) == STB_WEAK;
		}
	}
	return false;
}

static bool is_typed(const struct btf *btf, const struct btf_type *variable)
{
	const struct btf_type *type = btf__type_by_id(btf, variable->type);

	while (type && (btf_is_mod(type) || btf_is_typedef(type)))
		type = type->type ? btf__type_by_id(btf, type->type) : NULL;
	return type && !btf_is_void(type);
}

/* kind: BTF_KIND_FUNC or BTF_KIND_VAR. */
static void put_missing(const char *member, struct btf *btf, Elf *elf, bool function, bool weak)
{
	int id = btf ? btf__find_by_name_kind(btf, ".ksyms", BTF_KIND_DATASEC) : -1;
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	open_value(member, '[');
	for (int i = 0; section && i < btf_vlen(section); i++) {
		const struct btf_type *type = btf__type_by_id(btf, btf_var_secinfos(section)[i].type);
		const char *name = type ? btf__name_by_offset(btf, type->name_off) : NULL;
		int there = -1;

		if (!name || btf_is_func(type) != function || is_weak(elf, name) != weak)
			continue;
		if (function)
			there = has_function("", name, BTF_KIND_FUNC) || in_loaded_module(name);
		else if (btf_is_var(type))
			there = is_typed(btf, type) ? has_function("", name, BTF_KIND_VAR) : has_symbol(name);
		if (there == 0)
			put_text(NULL, name);
	}
	close_value(']');
}

/* In its own copy of the object's BTF libbpf has replaced functions by variables, so the file is read again. */
static void put_all_missing(void)
{
	struct btf *btf = btf__parse_elf(path, NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	put_missing("missing_functions", btf, elf, true, false);
	put_missing("missing_weak_functions", btf, elf, true, true);
	put_missing("missing_variables", btf, elf, false, false);
	elf_end(elf);
	if (fd >= 0)
		close(fd);
	btf__free(btf);
}
