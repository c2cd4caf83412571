//! Memory, transfers and faults of a device.

use super::stub::{DEVICES, Loaded};
use hpinfer::device::{Device, DeviceSpec, Gpu, Kernel, Launch, Queue, Stream};
use hpinfer::tensor::storage::{download, stage};
use hpinfer::trace::Transfers;

fn gpu() -> std::sync::Arc<Gpu> {
    Loaded::get();
    Gpu::open(None).expect("the stand-in opens")
}

#[test]
fn elements_know_where_they_lie_and_are_moved_by_name_only() {
    let _turn = Loaded::turn();
    let stream = Stream::new(&gpu()).unwrap();
    let mut transfers = Transfers::default();
    let values: Vec<u32> = (0..5000).collect();
    let staged = stage(&values, &stream).unwrap();
    assert!(staged.on_device().is_err_and(|e| e.to_string().contains("in page-locked host memory, and device memory is expected")));
    let device = staged.upload(&stream, &mut transfers).unwrap();
    assert!(device.on_host().unwrap_err().to_string().contains("elements are in device memory, and host memory is expected"));
    let part = device.on_device().unwrap().part(100..4100).unwrap();
    let back = download(part, &stream, &mut transfers).unwrap();
    drop(device); // goes back behind the copy
    assert_eq!(back.on_host().unwrap(), &values[100..4100]);
    let expected = Transfers { frames: 0.0, uploads: 1.0, uploaded_bytes: 20_000.0, downloads: 1.0, downloaded_bytes: 16_000.0 };
    assert_eq!(transfers, expected);
    assert!(stage::<u32>(&[], &stream).unwrap().upload(&stream, &mut transfers).unwrap().on_device().unwrap().is_empty());
}

/// Page-locked memory is read by the device when it comes to it: nothing may be lent again before.
#[test]
fn memory_that_is_in_use_is_not_lent_again() {
    let _turn = Loaded::turn();
    let stream = Stream::new(&gpu()).unwrap();
    let rounds: Vec<_> = (0..20u8)
        .map(|round| {
            let device = stage(&vec![round; 3000], &stream).unwrap().upload(&stream, &mut Transfers::default()).unwrap();
            download(device.on_device().unwrap(), &stream, &mut Transfers::default()).unwrap()
        })
        .collect();
    for (round, back) in rounds.iter().enumerate() {
        assert!(back.on_host().unwrap().iter().all(|&v| usize::from(v) == round), "{round}");
    }
}

#[test]
fn devices_are_opened_once_and_named() {
    let _turn = Loaded::turn();
    Loaded::get();
    let open = |text: &str| Device::open(&text.parse::<DeviceSpec>().unwrap());
    let one = |text: &str| Device::open_one(&text.parse::<DeviceSpec>().unwrap()).unwrap();
    let (first, again) = (one("gpu:0"), one("gpu:GPU-a0"));
    assert!(std::sync::Arc::ptr_eq(first.gpu().unwrap(), again.gpu().unwrap()));
    assert_eq!((first.to_string(), first.identity()), ("gpu:0".into(), "gpu:0 (Stub 0, compute capability 9.0)".into()));
    let both: Vec<String> = open("gpu:1,0").unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(both, ["gpu:1", "gpu:0"]);
    assert!(open("gpu:0,2").unwrap_err().to_string().contains("there is no GPU 2"));
}

#[test]
fn a_stopwatch_runs_in_the_stream() {
    let _turn = Loaded::turn();
    let stream = Stream::new(&gpu()).unwrap();
    assert!(stream.stopwatch().unwrap().stop_ms().unwrap() > 0.0);
}

/// What one stream keeps for later another gets when the device has no more.
#[test]
fn idle_memory_goes_where_it_is_needed() {
    let _turn = Loaded::turn();
    let (stub, gpu) = (Loaded::get(), gpu());
    let (first, second) = (Stream::new(&gpu).unwrap(), Stream::new(&gpu).unwrap());
    let [free, all] = gpu.memory().unwrap();
    stub.words(&format!("{DEVICES} memory={}", all - free + (96 << 20)));
    let most = first.alloc::<u8>(64 << 20).unwrap();
    assert!(second.alloc::<u8>(64 << 20).is_err(), "in use");
    drop(most);
    assert!(second.alloc::<u8>(64 << 20).is_ok(), "kept by a stream that does not use it");
    stub.words(DEVICES);
}

/// What fails says which device, which step and why; what is not touched by it goes on.
#[test]
fn faults_are_told_and_the_rest_goes_on() {
    let _turn = Loaded::turn();
    let (stub, stream) = (Loaded::get(), Stream::new(&gpu()).unwrap());
    let error = stream.alloc::<u8>(1 << 40).err().expect("too much").to_string();
    assert!(error.contains("gpu:0, allocating 1099511627776 bytes where ") && error.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{error}");
    let error = stream.pinned::<u8>(1 << 41).err().expect("too much").to_string();
    assert!(error.contains("gpu:0, allocating 2199023255552 bytes of page-locked memory"), "{error}");
    assert!(stream.alloc::<u32>(usize::MAX / 2).err().expect("more than there are addresses").to_string().contains("elements of 4 bytes"));
    let launch = Launch { kernel: Kernel::DbBoxes, grid: [1, 70_000, 1], threads: 64, shared_bytes: 0, args: &[0; 144] };
    // SAFETY: the grid is refused.
    let error = unsafe { stream.launch(launch) }.unwrap_err().to_string();
    assert!(error.contains("gpu:0, kernel db_boxes on a grid of 1 x 70000 x 1: "), "{error}");
    let back = stage(&[7u8; 9], &stream).unwrap().upload(&stream, &mut Transfers::default()).unwrap();
    assert_eq!(download(back.on_device().unwrap(), &stream, &mut Transfers::default()).unwrap().on_host().unwrap(), [7; 9]);
    assert!(stub.counts().allocations[0] > 0);
}
