package events

import (
	"os"
	"testing"
)

func TestOurOwnCallIsSeen(t *testing.T) {
	s, err := New("syscalls", "sys_enter_getppid")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	os.Getppid()
	for {
		process, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if process == os.Getpid() {
			return
		}
	}
}
