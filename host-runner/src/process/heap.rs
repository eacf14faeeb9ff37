//! The heap of the process.

/// Gives free pages in the middle of the heap back to the system, where its allocator does not by itself: after many
/// connections have fallen asleep, they are most of it. Takes milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    #[allow(unsafe_code, reason = "rustix has no function of its own for it")]
    mod libc {
        unsafe extern "C" {
            /// malloc_trim(3).
            pub(super) safe fn malloc_trim(pad: usize) -> core::ffi::c_int;
        }
    }
    let _ = libc::malloc_trim(0);
}

/// As above: other allocators do so by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn trim() {}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_in_use_stays() {
        let used: Vec<Vec<u8>> = (0..1000).map(|number| vec![number as u8; 5000]).collect();
        super::trim();
        let is_whole = |(number, bytes): (usize, &Vec<u8>)| *bytes == vec![number as u8; 5000];
        assert!(used.iter().enumerate().all(is_whole));
    }
}
