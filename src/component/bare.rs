//! The parts that `#![no_std]` components need in place of `std`, which would import WASI: an allocator, a
//! panic handler, and the function through which a host places arguments.

use alloc::alloc::{Layout, alloc, realloc};
use core::panic::PanicInfo;

// `memcmp` and similar functions, which the compiler calls and `std` would link. Nothing that calls WASI is
// reachable from them.
#[link(name = "c")]
#[allow(unsafe_code, reason = "links a library, declares no function")]
unsafe extern "C" {}

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// A panic is a trap: the host logs it with the component's backtrace and sends the final bytes.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// The canonical ABI's `realloc`. For this target wit-bindgen leaves it to the C library, which a
/// component without `std` does not link.
#[allow(
    unsafe_code,
    reason = "the canonical ABI is defined in terms of linear memory; wit-component generates the calls"
)]
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    if new_len == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: `old`, `old_len` and `align` are those of an earlier call, as the canonical ABI requires.
    let new = unsafe {
        if old_len == 0 {
            alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            let layout = Layout::from_size_align_unchecked(old_len, align);
            realloc(old, layout, new_len)
        }
    };
    if new.is_null() {
        core::arch::wasm32::unreachable()
    }
    new
}
