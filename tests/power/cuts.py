"""Cuts the power of a machine, over and over, and holds what it said before against what it finds after.

python3 cuts.py QEMU_KERNEL INITRD DISK CUTS: `tests/power.sh` makes the first three. A cut is SIGKILL of the emulator, whose disk is written
through: what the guest had not flushed is gone, what it had is there. The guest is the example `power`; what it says on its serial line is all
that counts here.
"""

import random
import signal
import subprocess
import sys
import threading
import time

kernel, initrd, disk, cuts = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
random.seed(7)
kept, delivered, lost, at_boot = set(), set(), 0, []


def boot(seconds):
    """Runs the guest for so long after it began to keep scores; returns the lines that it said."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nographic", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
               "-append", "console=ttyS0 quiet panic=-1", "-drive", f"file={disk},format=raw,if=virtio,cache=writethrough", "-net", "none"]
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
    if not began.wait(180):
        guest.kill()
        sys.exit("the guest does not come up:\n" + "\n".join(lines[-30:]))
    time.sleep(seconds)
    guest.send_signal(signal.SIGKILL)
    guest.wait()
    listener.join()
    return lines


def number(line, word):
    parts = line.split()
    return int(parts[1]) if len(parts) == 2 and parts[0] == word and parts[1].isdigit() else None


failures = 0
for cut in range(cuts + 1):
    lines = boot(random.uniform(0.0, 1.5))
    found = next((line for line in lines if line.startswith("found ")), None)
    if found is None or not any(line == "begin" for line in lines):
        failures += 1
        print(f"cut {cut}: the spool does not open: {[line for line in lines if line][-5:]}")
        continue
    waiting = {number(line, "waiting") for line in lines} - {None}
    # What was kept and not delivered waits. The delivery that was being said when the power went may be noted or not.
    missing = kept - delivered - waiting
    words = found.split()
    noted = int(words[3])
    unsaid = noted - len(delivered)
    if len(missing) > max(unsaid, 0):
        failures += 1
        print(f"cut {cut}: {len(missing)} kept scores are gone, {unsaid} deliveries were noted and not said: {sorted(missing)[:5]}")
    delivered |= missing
    if delivered & waiting:
        failures += 1
        print(f"cut {cut}: {len(delivered & waiting)} deliveries are forgotten")
    lost = max(lost, int(words[5]))
    # A line that the cut ended half-way says nothing.
    whole = lines[:-1]
    kept |= {number(line, "kept") for line in whole} - {None}
    delivered |= {number(line, "delivered") for line in whole} - {None}
    if cut % 20 == 0 or cut == cuts:
        print(f"{cut} cuts: {len(kept)} kept, {len(delivered)} delivered, {lost} told as lost, {failures} failures", flush=True)
sys.exit(1 if failures or lost else 0)
