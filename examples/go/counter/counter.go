// Package counter counts how often a tracepoint is hit, with a program that needs no compiler for BPF.
package counter

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// A Counter is a map with one number, a program that adds to it, and what ties that to the tracepoint.
type Counter struct {
	hits    *ebpf.Map
	program *ebpf.Program
	link    link.Link
}

// New starts to count the hits of a tracepoint, for instance "syscalls", "sys_enter_getppid".
func New(group, name string) (*Counter, error) {
	hits, err := ebpf.NewMap(&ebpf.MapSpec{Name: "hits", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	c := &Counter{hits: hits}
	c.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:    "count",
		Type:    ebpf.TracePoint,
		License: "GPL",
		Instructions: asm.Instructions{
			// uint32_t key = 0; uint64_t *value = bpf_map_lookup_elem(&hits, &key);
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.LoadMapPtr(asm.R1, hits.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			// if (value) __sync_fetch_and_add(value, 1);
			asm.JEq.Imm(asm.R0, 0, "done"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("done"),
			asm.Return(),
		},
	})
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("program: %w", err)
	}
	c.link, err = link.Tracepoint(group, name, c.program, nil)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("tracepoint %s/%s: %w", group, name, err)
	}
	return c, nil
}

// Hits returns how often the tracepoint was hit so far.
func (c *Counter) Hits() (uint64, error) {
	var hits uint64
	return hits, c.hits.Lookup(uint32(0), &hits)
}

// Close stops counting.
func (c *Counter) Close() {
	if c.link != nil {
		c.link.Close()
	}
	if c.program != nil {
		c.program.Close()
	}
	c.hits.Close()
}
