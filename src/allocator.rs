//! What the binary's allocator, mimalloc, holds of memory that nobody uses: one call, which has no safe binding.
#![expect(unsafe_code, reason = "mi_collect has no safe binding")]

/// Gives what the calling thread has freed back to the system. For after much was read: it goes through
/// the whole heap. Where the allocator is another one it does nothing.
pub fn give_back() {
    // SAFETY: it takes no pointer and hands none out; blocks in use are not touched, and the heap that it goes
    // through is the calling thread's own.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
