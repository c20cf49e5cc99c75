use super::*;
use crate::fake;
use crate::sys::{ERROR_INVALID_HANDLE, FALSE, TRUE, WinUsbX_GetLastError};
use std::ptr::{null, null_mut};

const GUID: &str = "#{00000000-0000-0000-0000-000000000000}";

fn set(flags: u32) -> Handle {
    // SAFETY: the class is a GUID.
    unsafe { winusb_compat_SetupDiGetClassDevsA(&Guid::default(), null(), null_mut(), flags) }
}

fn interface_data() -> InterfaceData {
    InterfaceData { size: size_of::<InterfaceData>() as u32, class: Guid::default(), flags: 0, reserved: 0 }
}

fn information_data() -> DeviceInformationData {
    DeviceInformationData {
        size: size_of::<DeviceInformationData>() as u32,
        class: Guid::default(),
        instance: 0,
        reserved: 0,
    }
}

fn interface(set: Handle, index: u32) -> Result<InterfaceData, u32> {
    let mut data = interface_data();
    // SAFETY: all pointers are NULL or to what they should be.
    let ok =
        unsafe { winusb_compat_SetupDiEnumDeviceInterfaces(set, null(), &Guid::default(), index, &mut data) };
    if ok == TRUE { Ok(data) } else { Err(WinUsbX_GetLastError()) }
}

/// Asks for the path as programs do: once for its length, once for itself.
fn path<C: Character>(set: Handle, data: &InterfaceData) -> Result<String, u32> {
    let mut required = 0;
    let mut information = information_data();
    // SAFETY: all pointers are NULL or to what they should be, with the room that is told.
    unsafe {
        let asked = interface_detail::<C>(set, data, null_mut(), 0, &mut required, null_mut());
        if asked != Err(ERROR_INSUFFICIENT_BUFFER) {
            return Err(asked.unwrap_err());
        }
        let mut detail = vec![0_u8; required as usize + 1];
        detail[required as usize] = 0xAA;
        detail[..4].copy_from_slice(&(detail_size::<C>() as u32).to_ne_bytes());
        let memory = detail.as_mut_ptr().cast();
        let short = interface_detail::<C>(set, data, memory, required - 1, null_mut(), null_mut());
        assert_eq!(short, Err(ERROR_INSUFFICIENT_BUFFER));
        interface_detail::<C>(set, data, memory, required, null_mut(), &mut information)?;
        assert_eq!({ information.instance } as usize, { data.reserved });
        assert_eq!(detail.pop(), Some(0xAA));
        text::read(detail.as_ptr().add(PATH_OFFSET).cast::<C>())
    }
}

#[test]
fn a_path_is_found_as_programs_do_it() {
    fake::plug(&["virtual:one", "virtual:two"]);
    let set = set(DIGCF_DEVICEINTERFACE | 2);
    assert_ne!(set, INVALID_HANDLE);
    for (index, address) in ["virtual:one", "virtual:two"].into_iter().enumerate() {
        let data = interface(set, index as u32).unwrap();
        let expected = format!(r"\\?\isoch#{address}{GUID}");
        assert_eq!(path::<u8>(set, &data), Ok(expected.clone()));
        assert_eq!(path::<u16>(set, &data), Ok(expected));
    }
    assert_eq!(interface(set, 2).unwrap_err(), ERROR_NO_MORE_ITEMS);
    assert_eq!(interface(set, u32::MAX).unwrap_err(), ERROR_NO_MORE_ITEMS);
    assert_eq!(winusb_compat_SetupDiDestroyDeviceInfoList(set), TRUE);
    assert_eq!(interface(set, 0).unwrap_err(), ERROR_INVALID_HANDLE);
    assert_eq!(winusb_compat_SetupDiDestroyDeviceInfoList(set), FALSE);
}

#[test]
fn devices_and_their_interfaces() {
    fake::plug(&["virtual:one", "virtual:two"]);
    let set = set(DIGCF_DEVICEINTERFACE);
    let mut device = information_data();
    let mut data = interface_data();
    // SAFETY: all pointers are NULL or to what they should be.
    unsafe {
        assert_eq!(winusb_compat_SetupDiEnumDeviceInfo(set, 1, &mut device), TRUE);
        let mut of_device = |index| {
            winusb_compat_SetupDiEnumDeviceInterfaces(set, &device, &Guid::default(), index, &mut data)
        };
        assert_eq!(of_device(1), FALSE);
        assert_eq!(of_device(0), TRUE);
        assert_eq!(winusb_compat_SetupDiEnumDeviceInfo(set, 2, &mut device), FALSE);
        assert_eq!(WinUsbX_GetLastError(), ERROR_NO_MORE_ITEMS);
    }
    assert!(path::<u8>(set, &data).unwrap().contains("virtual:two"));
    winusb_compat_SetupDiDestroyDeviceInfoList(set);
}

#[test]
fn properties() {
    fake::plug(&["virtual:article"]);
    let set = set(DIGCF_ALLCLASSES);
    let mut device = information_data();
    // SAFETY: the pointers are to what they should be.
    assert_eq!(unsafe { winusb_compat_SetupDiEnumDeviceInfo(set, 0, &mut device) }, TRUE);
    let ask = |property, room| {
        let mut buffer = [0_u8; 100];
        let (mut kind, mut required) = (0, 0);
        // SAFETY: the pointers are to what they should be, with more room than told.
        let result = unsafe {
            registry_property::<u8>(
                set,
                &device,
                property,
                &mut kind,
                buffer.as_mut_ptr(),
                room,
                &mut required,
            )
        };
        result.map(|()| (kind, String::from_utf8(buffer[..required as usize].to_vec()).unwrap()))
    };
    assert_eq!(ask(0, 100), Ok((1, "Article\0".into())));
    assert_eq!(ask(1, 100), Ok((7, "USB\\VID_1209&PID_0006\0\0".into())));
    assert_eq!(ask(4, 7), Ok((1, "WinUSB\0".into())));
    assert_eq!(ask(4, 6), Err(ERROR_INSUFFICIENT_BUFFER));
    // The fake device has no maker, and nobody knows its location.
    assert_eq!(ask(0xB, 100), Err(ERROR_INVALID_DATA));
    assert_eq!(ask(0xD, 100), Err(ERROR_INVALID_DATA));
    device.instance = 9;
    // SAFETY: the pointers are to what they should be, or NULL.
    let result = unsafe { registry_property::<u16>(set, &device, 0, null_mut(), null_mut(), 0, null_mut()) };
    assert_eq!(result, Err(ERROR_INVALID_PARAMETER));
    winusb_compat_SetupDiDestroyDeviceInfoList(set);
}

#[test]
fn mistakes_have_codes() {
    let set = set(DIGCF_DEVICEINTERFACE);
    let data = interface(set, 0).unwrap();
    let code = |ok| {
        assert_eq!(ok, FALSE);
        WinUsbX_GetLastError()
    };
    let guid = Guid::default();
    let mut required = 0;
    // SAFETY: all pointers are NULL or to what they should be, with the room that is told.
    unsafe {
        let none = winusb_compat_SetupDiGetClassDevsW(null(), null(), null_mut(), DIGCF_DEVICEINTERFACE);
        assert_eq!((none, WinUsbX_GetLastError()), (INVALID_HANDLE, ERROR_INVALID_PARAMETER));

        let enumerate = winusb_compat_SetupDiEnumDeviceInterfaces;
        let mut small = InterfaceData { size: 31, ..interface_data() };
        assert_eq!(code(enumerate(set, null(), &guid, 0, &mut small)), ERROR_INVALID_PARAMETER);
        assert_eq!(code(enumerate(set, null(), &guid, 0, null_mut())), ERROR_INVALID_PARAMETER);
        assert_eq!(code(enumerate(set, null(), null(), 0, &mut small)), ERROR_INVALID_PARAMETER);
        assert_eq!(code(enumerate(INVALID_HANDLE, null(), &guid, 0, &mut small)), ERROR_INVALID_HANDLE);

        let detail = winusb_compat_SetupDiGetDeviceInterfaceDetailA;
        let mut wrong = [0_u8; 300];
        let memory = wrong.as_mut_ptr().cast();
        assert_eq!(
            code(detail(set, &data, memory, 300, &mut required, null_mut())),
            ERROR_INVALID_USER_BUFFER
        );
        assert_eq!(code(detail(set, &data, memory, 3, &mut required, null_mut())), ERROR_INVALID_USER_BUFFER);
        assert_eq!(
            code(detail(set, &data, null_mut(), 9, &mut required, null_mut())),
            ERROR_INVALID_USER_BUFFER
        );
        for number in [0, 2, usize::MAX] {
            let forged = InterfaceData { reserved: number, ..data };
            assert_eq!(
                code(detail(set, &forged, null_mut(), 0, null_mut(), null_mut())),
                ERROR_INVALID_PARAMETER
            );
        }
    }
    // Devices alone have no interfaces.
    let devices = self::set(2);
    assert_eq!(interface(devices, 0).unwrap_err(), ERROR_NO_MORE_ITEMS);
    for one in [set, devices] {
        assert_eq!(winusb_compat_SetupDiDestroyDeviceInfoList(one), TRUE);
    }
}
