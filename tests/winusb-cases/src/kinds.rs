//! What parameters take, and what functions give back.

/// What a parameter takes. The width and the way of passing follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A handle of any sort.
    Handle,
    /// Where a handle is written.
    HandleOut,
    /// `UCHAR`.
    Byte,
    /// Where a `UCHAR` is written.
    ByteOut,
    /// `USHORT`.
    Word,
    /// `ULONG`, `DWORD`.
    Long,
    /// A `ULONG` that is read, written, or both.
    LongOut,
    /// `LONG`, `BOOL`.
    Signed,
    /// `LARGE_INTEGER` by value, an 8-byte union.
    Wide,
    /// Where a `LARGE_INTEGER` is written.
    WideOut,
    /// `ULONG_PTR`.
    Size,
    /// Where a `ULONG_PTR` or a pointer is written.
    SizeOut,
    /// Memory without a type.
    Bytes,
    /// A zero-terminated string.
    Text,
    /// `WINUSB_SETUP_PACKET` by value.
    Setup,
    /// `LPOVERLAPPED`.
    Overlapped,
    /// A struct of [`crate::structs`].
    PipeInformation,
    /// The same with `MaximumBytesPerInterval`.
    PipeInformationEx,
    /// `USB_INTERFACE_DESCRIPTOR`.
    InterfaceDescriptor,
    /// `USBD_ISO_PACKET_DESCRIPTOR`, an array.
    Packets,
    /// The first of the time-sync trio's structs.
    StartTracking,
    /// The second.
    FrameAndCounter,
    /// The third.
    StopTracking,
    /// `OVERLAPPED_ENTRY`, an array.
    Entries,
    /// `WINUSBX_VERSION`.
    Version,
    /// `WINUSBX_DEVICE`, an array.
    Devices,
    /// `WINUSBX_BUS`.
    Bus,
    /// `WINUSBX_FRAME_CLOCK`.
    FrameClock,
    /// `WINUSBX_STATISTICS`.
    Statistics,
    /// `WINUSBX_ISOCH_TRANSFER`.
    Transfer,
}

/// What a function gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// TRUE or FALSE; then `GetLastError` says why.
    Truth,
    /// A pointer; NULL is the failure.
    Pointer,
    /// A handle; NULL or −1 is the failure.
    Handle,
    /// A number that says itself what happened.
    Number,
    /// Nothing.
    Nothing,
}
