/*
 * WinUSB, for every platform: the functions of winusb.dll with Windows' names, types and meanings.
 *
 * Each function has a manual page: man 3 WinUsb_WriteIsochPipe. Its source is
 * https://learn.microsoft.com/windows/win32/api/winusb/nf-winusb-NAME with the function's name in lower case; the three
 * *Async functions are exported by winusb.dll and documented nowhere.
 *
 * Every BOOL is TRUE for success; for FALSE, GetLastError() tells the code (WinUsbX_GetLastError() where there is no
 * Win32), and WinUsbX_GetLastErrorText() the reason in words. Every function that takes an OVERLAPPED blocks if it is
 * NULL; otherwise it returns FALSE with ERROR_IO_PENDING (997) and completes later, through the event in it, through
 * the device file or through a completion port. Frames are milliseconds at every speed.
 *
 * winusbx.h has what WinUSB lacks, and the kernel objects (events, completion ports) where there is no Windows.
 */
#ifndef WINUSB_WINUSB_H
#define WINUSB_WINUSB_H

#include "winusbio.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An interface of an open device, and a buffer bound to one of its isochronous pipes. Opaque; NULL is none. */
typedef PVOID WINUSB_INTERFACE_HANDLE, *PWINUSB_INTERFACE_HANDLE;
typedef PVOID WINUSB_ISOCH_BUFFER_HANDLE, *PWINUSB_ISOCH_BUFFER_HANDLE;

#pragma pack(push, 1)
/* The eight bytes of a control request (USB 2.0 table 9-2). */
typedef struct _WINUSB_SETUP_PACKET {
    UCHAR RequestType;
    UCHAR Request;
    USHORT Value;
    USHORT Index;
    USHORT Length; /* bytes */
} WINUSB_SETUP_PACKET, *PWINUSB_SETUP_PACKET;
#pragma pack(pop)

/* ---- Session ---------------------------------------------------------------------------------------------------- */

/* The handle of the first interface of a device file that was opened with FILE_FLAG_OVERLAPPED. */
BOOL WINAPI WinUsb_Initialize(HANDLE DeviceHandle, PWINUSB_INTERFACE_HANDLE InterfaceHandle);

/* Lets an interface go. The device file stays open; what is pending stays pending. */
BOOL WINAPI WinUsb_Free(WINUSB_INTERFACE_HANDLE InterfaceHandle);

/* The handle of another interface: index 0 is the one after the first. */
BOOL WINAPI WinUsb_GetAssociatedInterface(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR AssociatedInterfaceIndex,
                                          PWINUSB_INTERFACE_HANDLE AssociatedInterfaceHandle);

/* How an overlapped operation ended, and its bytes (always 0 for isochronous ones). Pending and bWait FALSE: 996. */
BOOL WINAPI WinUsb_GetOverlappedResult(WINUSB_INTERFACE_HANDLE InterfaceHandle, LPOVERLAPPED lpOverlapped,
                                       LPDWORD lpNumberOfBytesTransferred, BOOL bWait);

/* ---- Descriptors ------------------------------------------------------------------------------------------------ */

/* A descriptor, or as much of it as fits: LengthTransferred bytes. */
BOOL WINAPI WinUsb_GetDescriptor(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR DescriptorType, UCHAR Index,
                                 USHORT LanguageID, PUCHAR Buffer, ULONG BufferLength, PULONG LengthTransferred);

/* The descriptor of an alternate setting of this interface. */
BOOL WINAPI WinUsb_QueryInterfaceSettings(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR AlternateInterfaceNumber,
                                          PUSB_INTERFACE_DESCRIPTOR UsbAltInterfaceDescriptor);

/* DEVICE_SPEED, one byte. BufferLength: room in, bytes out. */
BOOL WINAPI WinUsb_QueryDeviceInformation(WINUSB_INTERFACE_HANDLE InterfaceHandle, ULONG InformationType,
                                          PULONG BufferLength, PVOID Buffer);

/* Selects an alternate setting, which claims or frees bandwidth. Nothing may be pending on the interface. */
BOOL WINAPI WinUsb_SetCurrentAlternateSetting(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR SettingNumber);

/* The same, overlapped. */
BOOL WINAPI WinUsb_SetCurrentAlternateSettingAsync(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR SettingNumber,
                                                   LPOVERLAPPED Overlapped);

/* The alternate setting selected last. */
BOOL WINAPI WinUsb_GetCurrentAlternateSetting(WINUSB_INTERFACE_HANDLE InterfaceHandle, PUCHAR SettingNumber);

/* Endpoint number PipeIndex, counted from 0, of any alternate setting. Past the last: ERROR_NO_MORE_ITEMS. */
BOOL WINAPI WinUsb_QueryPipe(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR AlternateInterfaceNumber, UCHAR PipeIndex,
                             PWINUSB_PIPE_INFORMATION PipeInformation);

/* The same, with the bytes of one isochronous packet. */
BOOL WINAPI WinUsb_QueryPipeEx(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR AlternateInterfaceNumber, UCHAR PipeIndex,
                               PWINUSB_PIPE_INFORMATION_EX PipeInformationEx);

/* The first interface descriptor at or after StartPosition that matches; -1 matches everything. NULL if none does. */
PUSB_INTERFACE_DESCRIPTOR WINAPI WinUsb_ParseConfigurationDescriptor(
    PUSB_CONFIGURATION_DESCRIPTOR ConfigurationDescriptor, PVOID StartPosition, LONG InterfaceNumber,
    LONG AlternateSetting, LONG InterfaceClass, LONG InterfaceSubClass, LONG InterfaceProtocol);

/* The first descriptor of a type at or after StartPosition. NULL if there is none. */
PUSB_COMMON_DESCRIPTOR WINAPI WinUsb_ParseDescriptors(PVOID DescriptorBuffer, ULONG TotalLength, PVOID StartPosition,
                                                      LONG DescriptorType);

/* ---- Policies --------------------------------------------------------------------------------------------------- */

BOOL WINAPI WinUsb_SetPipePolicy(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID, ULONG PolicyType,
                                 ULONG ValueLength, PVOID Value);
BOOL WINAPI WinUsb_GetPipePolicy(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID, ULONG PolicyType,
                                 PULONG ValueLength, PVOID Value);
BOOL WINAPI WinUsb_SetPowerPolicy(WINUSB_INTERFACE_HANDLE InterfaceHandle, ULONG PolicyType, ULONG ValueLength,
                                  PVOID Value);
BOOL WINAPI WinUsb_GetPowerPolicy(WINUSB_INTERFACE_HANDLE InterfaceHandle, ULONG PolicyType, PULONG ValueLength,
                                  PVOID Value);

/* ---- Control, bulk and interrupt transfers ---------------------------------------------------------------------- */

/* A control request; wIndex of requests to an interface gets this interface's number. Timeout: policy 3 of pipe 0. */
BOOL WINAPI WinUsb_ControlTransfer(WINUSB_INTERFACE_HANDLE InterfaceHandle, WINUSB_SETUP_PACKET SetupPacket,
                                   PUCHAR Buffer, ULONG BufferLength, PULONG LengthTransferred,
                                   LPOVERLAPPED Overlapped);

BOOL WINAPI WinUsb_ReadPipe(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID, PUCHAR Buffer, ULONG BufferLength,
                            PULONG LengthTransferred, LPOVERLAPPED Overlapped);
BOOL WINAPI WinUsb_WritePipe(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID, PUCHAR Buffer, ULONG BufferLength,
                             PULONG LengthTransferred, LPOVERLAPPED Overlapped);

/* Cancels everything pending on a pipe: each completes with ERROR_OPERATION_ABORTED (995). */
BOOL WINAPI WinUsb_AbortPipe(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID);
BOOL WINAPI WinUsb_AbortPipeAsync(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID, LPOVERLAPPED Overlapped);

/* Clears a stall. On isochronous pipes there is nothing to clear, and it succeeds. */
BOOL WINAPI WinUsb_ResetPipe(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID);
BOOL WINAPI WinUsb_ResetPipeAsync(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID, LPOVERLAPPED Overlapped);

/* Drops what WinUSB has kept of an IN pipe's surplus data. */
BOOL WINAPI WinUsb_FlushPipe(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID);

/* ---- Isochronous transfers -------------------------------------------------------------------------------------- */

/* Binds memory to an isochronous pipe of the active alternate setting. It stays the caller's, and must stay valid
 * until it is unregistered. */
BOOL WINAPI WinUsb_RegisterIsochBuffer(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID, PUCHAR Buffer,
                                       ULONG BufferLength, PWINUSB_ISOCH_BUFFER_HANDLE IsochBufferHandle);

/* Ends that. Blocks until every transfer from or to the buffer has completed, and cancels none. */
BOOL WINAPI WinUsb_UnregisterIsochBuffer(WINUSB_ISOCH_BUFFER_HANDLE IsochBufferHandle);

/* Writes Length bytes of the buffer, from Offset, one packet per service interval, starting on frame *FrameNumber;
 * *FrameNumber becomes the frame after the last, at once. */
BOOL WINAPI WinUsb_WriteIsochPipe(WINUSB_ISOCH_BUFFER_HANDLE BufferHandle, ULONG Offset, ULONG Length,
                                  PULONG FrameNumber, LPOVERLAPPED Overlapped);

/* Reads into the buffer, starting on frame *FrameNumber. Length is a whole number of frames, NumberOfPackets is Length
 * divided by MaximumBytesPerInterval, and IsoPacketDescriptors has as many elements, written at completion. */
BOOL WINAPI WinUsb_ReadIsochPipe(WINUSB_ISOCH_BUFFER_HANDLE BufferHandle, ULONG Offset, ULONG Length,
                                 PULONG FrameNumber, ULONG NumberOfPackets,
                                 PUSBD_ISO_PACKET_DESCRIPTOR IsoPacketDescriptors, LPOVERLAPPED Overlapped);

/* Writes right after the last pending transfer. If none is pending: as soon as the bus can, or with ContinueStream
 * TRUE not at all (ERROR_INVALID_PARAMETER, through the OVERLAPPED). */
BOOL WINAPI WinUsb_WriteIsochPipeAsap(WINUSB_ISOCH_BUFFER_HANDLE BufferHandle, ULONG Offset, ULONG Length,
                                      BOOL ContinueStream, LPOVERLAPPED Overlapped);

/* Reads likewise. */
BOOL WINAPI WinUsb_ReadIsochPipeAsap(WINUSB_ISOCH_BUFFER_HANDLE BufferHandle, ULONG Offset, ULONG Length,
                                     BOOL ContinueStream, ULONG NumberOfPackets,
                                     PUSBD_ISO_PACKET_DESCRIPTOR IsoPacketDescriptors, LPOVERLAPPED Overlapped);

/* ---- Frames and time -------------------------------------------------------------------------------------------- */

/* The current frame, and the performance counter at that moment. Only differences of frame numbers mean anything. */
BOOL WINAPI WinUsb_GetCurrentFrameNumber(WINUSB_INTERFACE_HANDLE InterfaceHandle, PULONG CurrentFrameNumber,
                                         LARGE_INTEGER *TimeStamp);

/* Adds the milliseconds since TimeStamp, at most 1000, to *CurrentFrameNumber. */
BOOL WINAPI WinUsb_GetAdjustedFrameNumber(PULONG CurrentFrameNumber, LARGE_INTEGER TimeStamp);

/* Frames against the performance counter, more exactly. */
BOOL WINAPI WinUsb_StartTrackingForTimeSync(WINUSB_INTERFACE_HANDLE InterfaceHandle,
                                            PUSB_START_TRACKING_FOR_TIME_SYNC_INFORMATION StartTrackingInfo);
BOOL WINAPI WinUsb_GetCurrentFrameNumberAndQpc(
    WINUSB_INTERFACE_HANDLE InterfaceHandle,
    PUSB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION FrameQpcInfo);
BOOL WINAPI WinUsb_StopTrackingForTimeSync(WINUSB_INTERFACE_HANDLE InterfaceHandle,
                                           PUSB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION StopTrackingInfo);

#ifdef __cplusplus
}
#endif

#endif /* WINUSB_WINUSB_H */
