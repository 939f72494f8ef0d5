package counter

import (
	"os"
	"testing"
)

func TestEveryHitIsCounted(t *testing.T) {
	c, err := New("syscalls", "sys_enter_getppid")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 {
		os.Getppid()
	}
	if hits, err := c.Hits(); err != nil || hits < 100 {
		t.Fatalf("%d hits (%v), want 100 or more", hits, err)
	}
}

func TestATracepointThatIsNotThere(t *testing.T) {
	if c, err := New("syscalls", "sys_enter_nothing"); err == nil {
		c.Close()
		t.Fatal("a tracepoint that no kernel has was found")
	}
}
