//! Where kernels run in these tests, and their memory: the emulation on the host, or the GPU that `$HPINFER_TEST_DEVICE` names.

use super::emulator::Emulator;
use hpinfer::Result;
use hpinfer::device::{Device, DeviceBuffer, DeviceSlice, DeviceSliceMut, DeviceSpec, Launch, Queue, Stream};
use std::cell::OnceCell;
use std::sync::OnceLock;

/// Variable that names a GPU, as `gpu:0`.
pub const VARIABLE: &str = "HPINFER_TEST_DEVICE";

/// A stream of the GPU that is named; `None` for the emulation.
fn stream() -> Option<&'static Stream> {
    static STREAM: OnceLock<Option<Stream>> = OnceLock::new();
    let open = |text: String| {
        let spec: DeviceSpec = text.parse().expect(VARIABLE);
        let device = Device::open_one(&spec).unwrap_or_else(|e| panic!("{VARIABLE}: {e}"));
        Stream::new(device.gpu().unwrap_or_else(|| panic!("{VARIABLE} is {text}, no GPU"))).expect("a stream")
    };
    STREAM.get_or_init(|| std::env::var(VARIABLE).ok().map(open)).as_ref()
}

/// Takes the launches.
pub enum TestQueue {
    Emulated(Emulator),
    Gpu(&'static Stream),
}

impl TestQueue {
    /// The seed decides in which order the emulation runs blocks and threads.
    pub fn new(seed: u64) -> Self {
        stream().map_or_else(|| Self::Emulated(Emulator::new(seed)), Self::Gpu)
    }

    fn queue(&self) -> &dyn Queue {
        match self {
            Self::Emulated(emulator) => emulator,
            Self::Gpu(stream) => *stream,
        }
    }
}

impl Queue for TestQueue {
    unsafe fn launch(&self, launch: Launch) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.queue().launch(launch) }
    }

    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.queue().clear(address, bytes) }
    }
}

/// Elements where the queue works, with a fence on both sides that shows stray writes.
pub struct Memory<T> {
    elements: Elements<T>,
    len: usize,
}

enum Elements<T> {
    Host(Vec<T>),
    /// With what was read of it since it was lent to be written.
    Gpu(DeviceBuffer<T>, OnceCell<Vec<T>>),
}

/// Elements of a fence.
const FENCE: usize = 64;

impl<T: bytemuck::Pod> Memory<T> {
    /// A copy of `values`.
    pub fn of(values: &[T]) -> Self {
        Self::holding(values.len(), values)
    }

    /// `len` elements that hold garbage.
    pub fn new(len: usize) -> Self {
        Self::holding(len, &[])
    }

    fn holding(len: usize, values: &[T]) -> Self {
        let mut elements = vec![T::zeroed(); len + 2 * FENCE];
        bytemuck::cast_slice_mut::<T, u8>(&mut elements).fill(0xa5);
        elements[FENCE..FENCE + values.len()].copy_from_slice(values);
        let elements = match stream() {
            None => Elements::Host(elements),
            Some(stream) => {
                let mut staged = stream.pinned(elements.len()).expect("page-locked memory");
                staged.fill().expect("memory").copy_from_slice(&elements);
                let mut buffer = stream.alloc(elements.len()).expect("device memory");
                stream.upload(&staged, &mut buffer).expect("a copy");
                Elements::Gpu(buffer, OnceCell::new())
            }
        };
        Self { elements, len }
    }

    pub fn slice(&self) -> DeviceSlice<'_, T> {
        match &self.elements {
            // SAFETY: the elements are there for as long as the borrow, and the queue is the emulation's.
            Elements::Host(elements) => unsafe { DeviceSlice::from_raw(elements[FENCE..].as_ptr() as u64, self.len) },
            Elements::Gpu(buffer, _) => buffer.slice().part(FENCE..FENCE + self.len).expect("within the fences"),
        }
    }

    pub fn slice_mut(&mut self) -> DeviceSliceMut<'_, T> {
        let address = self.slice().address();
        if let Elements::Gpu(_, read) = &mut self.elements {
            read.take();
        }
        // SAFETY: the elements are there for as long as the borrow, which is exclusive.
        unsafe { DeviceSliceMut::from_raw(address, self.len) }
    }

    /// The elements, once the fences are found whole.
    pub fn read(&self) -> &[T] {
        let elements = match &self.elements {
            Elements::Host(elements) => elements,
            Elements::Gpu(buffer, read) => read.get_or_init(|| {
                let copy = buffer.stream().download(buffer.slice()).expect("a copy");
                copy.read().expect("the work is done").to_vec()
            }),
        };
        let (before, rest) = elements.split_at(FENCE);
        let (values, behind) = rest.split_at(self.len);
        let whole = |fence: &[T]| bytemuck::cast_slice::<T, u8>(fence).iter().all(|&b| b == 0xa5);
        assert!(whole(before), "written before the start of {} elements", self.len);
        assert!(whole(behind), "written behind the end of {} elements", self.len);
        values
    }
}

/// On the stand-in for the driver, whose device is the emulation.
#[test]
fn the_same_tests_run_on_a_device() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let folder = crate::stub::folder(&[]);
    let mut command = std::process::Command::new(std::env::current_exe().expect("this program"));
    command.args(["device::ctc", "device::difference", "device::mask", "boxes_of_noise"]).env_remove("CUDA_VISIBLE_DEVICES");
    command.env(VARIABLE, "gpu:1").env("STUB_CUDA", "devices=9.0,8.6").env("STUB_KERNELS", crate::library::kernels());
    let output = command.env("LD_LIBRARY_PATH", folder.path()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("6 passed"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
