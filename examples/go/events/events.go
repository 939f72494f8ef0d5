// Package events hands what a program says over a ring buffer, which Linux has since 5.8.
package events

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// A Source says which processes entered a system call.
type Source struct {
	ring    *ebpf.Map
	program *ebpf.Program
	link    link.Link
	reader  *ringbuf.Reader
}

// New starts to watch a tracepoint.
func New(group, name string) (*Source, error) {
	ring, err := ebpf.NewMap(&ebpf.MapSpec{Name: "ring", Type: ebpf.RingBuf, MaxEntries: 65536})
	if err != nil {
		return nil, fmt.Errorf("ring buffer: %w", err)
	}
	s := &Source{ring: ring}
	s.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:    "tell",
		Type:    ebpf.TracePoint,
		License: "GPL",
		Instructions: asm.Instructions{
			// uint64_t id = bpf_get_current_pid_tgid(); bpf_ringbuf_output(&ring, &id, sizeof(id), 0);
			asm.FnGetCurrentPidTgid.Call(),
			asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
			asm.LoadMapPtr(asm.R1, ring.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -8),
			asm.Mov.Imm(asm.R3, 8),
			asm.Mov.Imm(asm.R4, 0),
			asm.FnRingbufOutput.Call(),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	})
	if err == nil {
		s.link, err = link.Tracepoint(group, name, s.program, nil)
	}
	if err == nil {
		s.reader, err = ringbuf.NewReader(ring)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("tracepoint %s/%s: %w", group, name, err)
	}
	return s, nil
}

// Next waits for the next event and returns the process that caused it.
func (s *Source) Next() (int, error) {
	record, err := s.reader.Read()
	if err != nil {
		return 0, err
	}
	return int(binary.NativeEndian.Uint64(record.RawSample) >> 32), nil
}

// Close stops watching.
func (s *Source) Close() {
	if s.reader != nil {
		s.reader.Close()
	}
	if s.link != nil {
		s.link.Close()
	}
	if s.program != nil {
		s.program.Close()
	}
	s.ring.Close()
}
