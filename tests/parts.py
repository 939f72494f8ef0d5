"""The kit of these sources, which ./dev builds before any test: its programs serve as static programs, too."""

from bpfcompat import architecture
from bpfcompat.guest import kit
from bpfcompat.system import host

KIT = kit.made(host.cache_folder(), print, architecture.host())
