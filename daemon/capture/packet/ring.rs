//! Memory shared with the kernel: blocks that it fills one after the other, round and round (`TPACKET_V3`).
//!
//! A block belongs to the kernel or to us, by its status word. Who has it may write to it; the other does not look at anything but that word.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::io;

use super::block;

/// The blocks, and which of them is next.
#[derive(Debug)]
pub(super) struct Ring {
    memory: Memory,
    block_size: usize,
    blocks: usize,
    next: usize,
}

/// Where the blocks are.
#[derive(Debug)]
enum Memory {
    /// Lent by a socket: start and length.
    Mapped(NonNull<u8>, usize),
    /// On the heap, for tests in which a thread plays the kernel.
    #[cfg(test)]
    Shared(std::sync::Arc<tests::Heap>),
}

// SAFETY: the memory is this value's own until it is dropped, and mapped memory may be used from any thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of a socket, which has just been given one of `blocks` blocks of `block_size` bytes.
    pub(super) fn map(socket: BorrowedFd<'_>, block_size: usize, blocks: usize) -> io::Result<Self> {
        let length = block_size.checked_mul(blocks).filter(|_| block_size > block::BLOCK_HEADER).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: no address is asked for, so that nothing that is mapped already is touched; the result is checked.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { memory: Memory::Mapped(start, length), block_size, blocks, next: 0 })
    }

    /// How much memory it takes.
    pub(super) const fn size(&self) -> usize {
        self.block_size * self.blocks
    }

    /// The next block, if it is ours. It stays the next until [`Self::hand_back`].
    pub(super) fn block(&self) -> Option<&[u8]> {
        // Acquire: what the kernel wrote before it gave the block away is seen after this.
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the block lies within the memory (`start`) and is initialized (mapped pages are zeroed). It is ours, so the kernel does not
        // write to it, and we do neither before it is handed back, which takes `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.block_size) })
    }

    /// Gives the next block back to the kernel, if it is ours, and goes on to the one after it.
    pub(super) fn hand_back(&mut self) {
        let status = self.status();
        if status.load(Ordering::Relaxed) & libc::TP_STATUS_USER == 0 {
            return;
        }
        // Release: everything that was read of the block was read before this.
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: a block is longer than its header, so the word lies within it; blocks are aligned to pages (on the heap: to 8 bytes), so that
        // the word is aligned. It is changed by both sides, and by ours through this atomic alone.
        unsafe { AtomicU32::from_ptr(self.start().add(block::STATUS).as_ptr().cast()) }
    }

    /// Where the next block begins.
    fn start(&self) -> NonNull<u8> {
        let memory = match &self.memory {
            Memory::Mapped(start, _) => *start,
            #[cfg(test)]
            Memory::Shared(heap) => heap.start(),
        };
        // SAFETY: `next` is below `blocks`, and the memory has `blocks` times `block_size` bytes.
        unsafe { memory.add(self.next * self.block_size) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        match &self.memory {
            Memory::Mapped(start, length) => {
                // SAFETY: it was mapped with this very length, and nothing borrowed from it is alive.
                let unmapped = unsafe { libc::munmap(start.as_ptr().cast(), *length) };
                debug_assert_eq!(unmapped, 0);
            }
            #[cfg(test)]
            Memory::Shared(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::UnsafeCell;
    use std::sync::Arc;

    use super::*;

    /// Blocks on the heap that a thread fills as the kernel does.
    #[derive(Debug)]
    pub(super) struct Heap(Box<[UnsafeCell<u64>]>);

    // SAFETY: both sides keep to the protocol of the status words, which is what is tested.
    unsafe impl Sync for Heap {}
    // SAFETY: it is plain memory.
    unsafe impl Send for Heap {}

    impl Heap {
        pub(super) fn start(&self) -> NonNull<u8> {
            NonNull::new(UnsafeCell::raw_get(self.0.as_ptr()).cast()).unwrap()
        }
    }

    const SIZE: usize = 128;
    const BLOCKS: usize = 3;

    fn ring() -> (Ring, Arc<Heap>) {
        let heap = Arc::new(Heap((0..SIZE * BLOCKS / 8).map(|_| UnsafeCell::new(0)).collect()));
        (Ring { memory: Memory::Shared(Arc::clone(&heap)), block_size: SIZE, blocks: BLOCKS, next: 0 }, heap)
    }

    #[test]
    fn each_block_is_read_once_in_order_and_never_while_it_is_the_kernels() {
        const ROUNDS: u32 = if cfg!(miri) { 60 } else { 30_000 };
        let (mut ring, heap) = ring();
        let kernel = std::thread::spawn(move || {
            for round in 0..ROUNDS {
                // SAFETY: within the heap, and aligned.
                let block = unsafe { heap.start().add(round as usize % BLOCKS * SIZE) };
                // SAFETY: as in `Ring::status`.
                let status = unsafe { AtomicU32::from_ptr(block.add(block::STATUS).as_ptr().cast()) };
                while status.load(Ordering::Acquire) != libc::TP_STATUS_KERNEL {
                    std::thread::yield_now();
                }
                for place in (block::STATUS + 4..SIZE).step_by(4) {
                    // SAFETY: within the block, which is the kernel's.
                    unsafe { block.add(place).cast::<u32>().write(round) };
                }
                status.store(libc::TP_STATUS_USER, Ordering::Release);
            }
        });
        for round in 0..ROUNDS {
            let block = loop {
                match ring.block() {
                    Some(block) => break block,
                    None => std::thread::yield_now(),
                }
            };
            assert!(block[block::STATUS + 4..].chunks_exact(4).all(|word| word == round.to_ne_bytes()), "round {round}");
            ring.hand_back();
        }
        kernel.join().unwrap();
        assert_eq!(ring.block(), None);
        assert_eq!(ring.size(), SIZE * BLOCKS);
    }

    #[test]
    fn a_block_that_is_the_kernels_cannot_be_handed_back() {
        let (mut ring, _heap) = ring();
        ring.hand_back();
        assert_eq!((ring.next, ring.block()), (0, None));
    }

    #[test]
    fn what_is_no_ring_is_not_mapped() {
        use std::os::fd::AsFd;
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Ring::map(file.as_fd(), 1 << 18, 2).is_err());
        assert!(Ring::map(file.as_fd(), usize::MAX, 2).is_err());
        assert!(Ring::map(file.as_fd(), block::BLOCK_HEADER, 2).is_err());
    }
}
