// Loads the object that is named, as a loader on cilium/ebpf does it, and attaches what its sections say.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

func attach(spec *ebpf.ProgramSpec, program *ebpf.Program) (link.Link, error) {
	kind, target, _ := strings.Cut(spec.SectionName, "/")
	switch kind {
	case "kprobe":
		return link.Kprobe(target, program, nil)
	case "kprobe.multi":
		return link.KprobeMulti(program, link.KprobeMultiOptions{Symbols: []string{target}})
	case "tracepoint":
		group, name, _ := strings.Cut(target, "/")
		return link.Tracepoint(group, name, program, nil)
	case "raw_tp":
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: target, Program: program})
	case "fentry", "fexit", "fmod_ret", "tp_btf", "fentry.s":
		return link.AttachTracing(link.TracingOptions{Program: program})
	case "lsm":
		return link.AttachLSM(link.LSMOptions{Program: program})
	case "tcx":
		return link.AttachTCX(link.TCXOptions{Interface: 1, Program: program, Attach: ebpf.AttachTCXIngress})
	case "xdp", "xdp.frags":
		return link.AttachXDP(link.XDPOptions{Program: program, Interface: 1, Flags: link.XDPGenericMode})
	}
	return nil, nil
}

func main() {
	log.SetFlags(0)
	spec, err := ebpf.LoadCollectionSpec(os.Args[1])
	if err != nil {
		log.Fatalf("reading the object: %v", err)
	}
	collection, err := ebpf.NewCollection(spec)
	if err != nil {
		var verifier *ebpf.VerifierError
		if errors.As(err, &verifier) && len(os.Args) > 2 {
			fmt.Fprintf(os.Stderr, "%+v\n", verifier)
		}
		log.Fatalf("loading objects: %v", err)
	}
	for name, program := range collection.Programs {
		if _, err := attach(spec.Programs[name], program); err != nil {
			log.Fatalf("attaching %s: %v", name, err)
		}
	}
}
