"""Cuts the power of a machine, over and over, and holds what it said before against what it finds after.

python3 cuts.py QEMU_KERNEL INITRD DISK CUTS plain|error_writes|drop_writes: `tests/power.sh` makes the first three. A cut is SIGKILL of the
emulator, whose disk is written through: what the guest had not flushed is gone, what it had is there. The guest is the example `power`; what
it says on its serial line is all that counts here.
"""

import random
import re
import signal
import subprocess
import sys
import threading
import time

kernel, initrd, disk, cuts, kind = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
random.seed(7)
ever, kept, delivered = set(), set(), set()
# Told as lost by the spool itself; cuts after which something was gone, and those of them that nobody told.
told = gone_cuts = silent_cuts = gone = failures = unopened = 0

# How long a guest may take to its first word: on a busy machine one boot is a matter of minutes.
PATIENCE_S = 900

# A disk that fails may do so while the spool opens, and an emulator that gets no processor may miss its own timer. So often in a row is no accident.
TRIES = 5


def boot(seconds):
    """Runs the guest for so long after it began to keep scores; returns the lines that it said."""
    if kind != "plain":
        # What a box does at its start: the file system itself was lied to.
        subprocess.run(["e2fsck", "-fy", disk], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nographic", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
               "-append", f"console=ttyS0 quiet edd=off no_timer_check panic=-1 disk={kind}",
               "-drive", f"file={disk},format=raw,if=virtio,cache=writethrough", "-net", "none"]
    guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
    lines, began = [], threading.Event()

    def listen():
        for line in guest.stdout:
            lines.append(line.strip())
            if line.strip() == "begin":
                began.set()
        began.set()

    listener = threading.Thread(target=listen)
    listener.start()
    if not began.wait(PATIENCE_S):
        guest.kill()
        sys.exit("the guest does not come up:\n" + "\n".join(lines[-30:]))
    try:
        # A guest whose disk failed ends by itself.
        guest.wait(seconds)
    except subprocess.TimeoutExpired:
        guest.send_signal(signal.SIGKILL)
        guest.wait()
    listener.join()
    return lines


def call(line, word):
    parts = line.split()
    return parts[1] if len(parts) == 2 and parts[0] == word and re.fullmatch("[0-9a-f]{8}-[0-9]+", parts[1]) else None


def fail(cut, what):
    global failures
    failures += 1
    print(f"cut {cut}: {what}", flush=True)


began = time.time()
for cut in range(cuts + 1):
    # The first words of a boot are what is found; from then on each is a promise.
    lines = boot(random.uniform(0.0, 4.0))
    found = next((line for line in lines if line.startswith("found ")), None)
    if found is None or "begin" not in lines:
        unopened += 1
        if (kind == "plain" and "up" in lines) or unopened == TRIES:
            fail(cut, f"the spool does not open: {[line for line in lines if line][-5:]}")
        continue
    unopened = 0
    waiting = {call(line, "waiting") for line in lines} - {None}
    words = found.split()
    noted, told_before, told = int(words[3]), told, int(words[5])
    # What was kept and not delivered waits. The delivery that was being said when the power went may be noted or not.
    unsaid = max(noted - len(delivered), 0)
    missing = kept - delivered - waiting
    lost = max(len(missing) - unsaid, 0)
    if lost:
        gone_cuts, gone = gone_cuts + 1, gone + lost
        is_told = told - told_before >= lost
        silent_cuts += not is_told
        if kind != "drop_writes":
            fail(cut, f"{lost} kept scores are gone, {'and told' if is_told else 'and nobody says so'}: {sorted(missing)[:5]}")
    forgotten = delivered & waiting
    if forgotten and kind != "drop_writes":
        fail(cut, f"{len(forgotten)} deliveries are forgotten")
    kept -= missing if lost else set()
    delivered = (delivered | (missing if not lost else set())) - forgotten
    # A line that the cut ended half-way says nothing.
    whole = lines[:-1]
    new = {call(line, "kept") for line in whole} - {None}
    if new & ever:
        fail(cut, f"{len(new & ever)} ids were given twice: {sorted(new & ever)[:5]}")
    ever |= new
    kept |= new
    delivered |= {call(line, "delivered") for line in whole} - {None}
    if cut % 10 == 0 or cut == cuts:
        print(f"{cut} cuts in {time.time() - began:.0f} s, disk {kind}: {len(kept)} kept, {len(delivered)} delivered; after {gone_cuts} cuts {gone} were gone, "
              f"{silent_cuts} times without a word; {told} told as lost; {failures} failures", flush=True)
sys.exit(1 if failures or silent_cuts or (told and kind == "plain") else 0)
