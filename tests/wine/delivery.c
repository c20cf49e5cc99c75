/* What winusb.dll relies on: that a process can make the system complete an OVERLAPPED of its own, on a file that the
 * system opened, event and completion port included. No winusb.dll is used here: this file says which of Windows'
 * habits the DLL (crates/winusb-abi/src/system/windows) needs, and finds out whether they hold. */
#include <windows.h>
#include <winternl.h>
#include <stdio.h>
#include <stdlib.h>
#include "check.h"

NTSTATUS NTAPI NtReadFile(HANDLE, HANDLE, PVOID, PVOID, PIO_STATUS_BLOCK, PVOID, ULONG, PLARGE_INTEGER, PULONG);
NTSTATUS NTAPI NtWriteFile(HANDLE, HANDLE, PVOID, PVOID, PIO_STATUS_BLOCK, PVOID, ULONG, PLARGE_INTEGER, PULONG);
NTSTATUS NTAPI NtCancelIoFileEx(HANDLE, PIO_STATUS_BLOCK, PIO_STATUS_BLOCK);
NTSTATUS NTAPI NtQueryObject(HANDLE, OBJECT_INFORMATION_CLASS, PVOID, ULONG, PULONG);
NTSTATUS NTAPI NtCreateSymbolicLinkObject(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PUNICODE_STRING);

#define SYMBOLIC_LINK_QUERY 1
#define CANCELLED ((NTSTATUS)0xC0000120)
#define INVALID ((NTSTATUS)0xC000000D)

static HANDLE server, file, quiet;
static char bytes[1 << 17], sink[1 << 17];
static LARGE_INTEGER start;

static HANDLE without_packet(HANDLE event) { return (HANDLE)((ULONG_PTR)event | 1); }
static HANDLE plain(HANDLE event) { return (HANDLE)((ULONG_PTR)event & ~(ULONG_PTR)1); }

static void begin(OVERLAPPED *overlapped)
{
    if (overlapped->hEvent) {
        ResetEvent(plain(overlapped->hEvent));
    }
    overlapped->InternalHigh = 0;
    overlapped->Internal = STATUS_PENDING;
}

static void send_message(ULONG length)
{
    OVERLAPPED overlapped = {0};
    DWORD written;
    overlapped.hEvent = without_packet(quiet);
    CHECK(WriteFile(server, bytes, length, &written, &overlapped) || GetLastError() == ERROR_IO_PENDING);
    CHECK(GetOverlappedResult(server, &overlapped, &written, TRUE));
}

static void complete(OVERLAPPED *overlapped, NTSTATUS status, ULONG count)
{
    IO_STATUS_BLOCK *block = calloc(1, sizeof *block), other;
    HANDLE event = plain(overlapped->hEvent);
    PVOID context = event == overlapped->hEvent ? overlapped : NULL;
    overlapped->InternalHigh = count;
    *(volatile ULONG_PTR *)&overlapped->Internal = (ULONG)status;
    CHECK(NtReadFile(file, event, NULL, context, block, sink, status < 0 ? 0 : count, &start, NULL) == STATUS_PENDING);
    if (status == CANCELLED) {
        CHECK(NtCancelIoFileEx(file, block, &other) == 0);
    } else if (status < 0) {
        send_message(1);
        CHECK(NtReadFile(file, NULL, NULL, NULL, &other, sink, 1, &start, NULL) == 0);
    } else {
        send_message(count);
    }
}

static HANDLE port;

/* The next packet, and then what GetOverlappedResult says: "TRUE 0 0 1234 TRUE 0 0". */
static const char *packet(OVERLAPPED *expected)
{
    static char text[200];
    OVERLAPPED *got = NULL;
    ULONG_PTR key = 0;
    DWORD count = 777, again = 777;
    BOOL ok = GetQueuedCompletionStatus(port, &count, &key, &got, 100);
    DWORD error = ok ? 0 : GetLastError();
    if (!got) {
        snprintf(text, sizeof text, "none %lu", error);
        return text;
    }
    CHECK(got == expected);
    BOOL result = GetOverlappedResult(file, got, &again, FALSE);
    DWORD result_error = result ? 0 : GetLastError();
    snprintf(text, sizeof text, "%d %lu %lu key %llx, %d %lu %lu", ok, error, count, (ULONG64)key, result, result_error, again);
    return text;
}

static volatile LONG submitted, completed;
static OVERLAPPED *queue[64];

static __attribute__((noreturn)) DWORD WINAPI completer(void *unused)
{
    (void)unused;
    for (;;) {
        while (completed == submitted) {
            SwitchToThread();
        }
        OVERLAPPED *overlapped = queue[completed % 64];
        InterlockedIncrement(&completed);
        complete(overlapped, 0, 0);
    }
}

static void soak(void)
{
    static OVERLAPPED overlapped[64];
    CloseHandle(CreateThread(NULL, 0, completer, NULL, 0, NULL));
    for (int i = 0; i < 2000 + 64; i++) {
        if (i >= 64) {
            OVERLAPPED *got = NULL;
            ULONG_PTR key;
            DWORD count;
            CHECK(GetQueuedCompletionStatus(port, &count, &key, &got, 5000));
            CHECK(got == &overlapped[i % 64] && got->Internal == 0);
        }
        if (i < 2000) {
            begin(&overlapped[i % 64]);
            queue[i % 64] = &overlapped[i % 64];
            InterlockedIncrement(&submitted);
        }
    }
}

int main(void)
{
    OVERLAPPED overlapped = {0};
    IO_STATUS_BLOCK block, arming;
    DWORD count, mode = PIPE_READMODE_MESSAGE;
    ULONG information[14];
    WCHAR target[100];
    char name[100];
    HANDLE link, duplicate;

    quiet = CreateEventA(NULL, TRUE, FALSE, NULL);
    snprintf(name, sizeof name, "\\\\.\\pipe\\isoch-delivery-%lu", GetCurrentProcessId());
    server = CreateNamedPipeA(name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE,
        4, 65536, 65536, 0, NULL);
    CHECK(server != INVALID_HANDLE_VALUE);

    /* A path of our choice leads to the pipe, without ConnectNamedPipe. */
    UNICODE_STRING from, to;
    swprintf(target, 100, L"\\Device\\NamedPipe\\isoch-delivery-%lu", GetCurrentProcessId());
    RtlInitUnicodeString(&from, L"\\??\\usb#vid_1209&pid_0001#delivery#{da812bff-12c3-46a2-8e2b-dbd3b7834c43}");
    RtlInitUnicodeString(&to, target);
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &from, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtCreateSymbolicLinkObject(&link, SYMBOLIC_LINK_QUERY, &attributes, &to) == 0);
    CHECK(NtCreateSymbolicLinkObject(&duplicate, SYMBOLIC_LINK_QUERY, &attributes, &to) == (NTSTATUS)0xC0000035);
    file = CreateFileA("\\\\?\\usb#vid_1209&pid_0001#delivery#{da812bff-12c3-46a2-8e2b-dbd3b7834c43}",
        GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    CHECK(file != INVALID_HANDLE_VALUE);
    CHECK(CreateFileA(name, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL) == INVALID_HANDLE_VALUE);
    CHECK(GetLastError() == ERROR_PIPE_BUSY);
    CHECK(SetNamedPipeHandleState(file, &mode, NULL, NULL));

    /* A duplicate tells whether the program has closed its handle. */
    CHECK(DuplicateHandle(GetCurrentProcess(), file, GetCurrentProcess(), &duplicate, 0, FALSE, DUPLICATE_SAME_ACCESS));
    CHECK(NtQueryObject(file, ObjectBasicInformation, information, sizeof information, NULL) == 0 && information[2] == 2);
    CloseHandle(duplicate);
    CHECK(NtQueryObject(file, ObjectBasicInformation, information, sizeof information, NULL) == 0 && information[2] == 1);

    /* Events. What we wrote stays. */
    overlapped.hEvent = CreateEventA(NULL, TRUE, TRUE, NULL);
    begin(&overlapped);
    CHECK(!GetOverlappedResult(file, &overlapped, &count, FALSE) && GetLastError() == ERROR_IO_INCOMPLETE);
    CHECK(WaitForSingleObject(overlapped.hEvent, 0) == WAIT_TIMEOUT);
    complete(&overlapped, 0, 4096);
    CHECK(WaitForSingleObject(overlapped.hEvent, 100) == WAIT_OBJECT_0);
    CHECK(GetOverlappedResult(file, &overlapped, &count, TRUE) && count == 4096);
    begin(&overlapped);
    complete(&overlapped, INVALID, 0);
    CHECK(!GetOverlappedResult(file, &overlapped, &count, TRUE) && GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(WaitForSingleObject(overlapped.hEvent, 100) == WAIT_OBJECT_0);

    /* No event: the file is signalled. A read that stays pending makes it not signalled. */
    overlapped.hEvent = NULL;
    begin(&overlapped);
    CHECK(NtReadFile(file, NULL, NULL, NULL, &arming, sink, 0, &start, NULL) == STATUS_PENDING);
    CHECK(WaitForSingleObject(file, 0) == WAIT_TIMEOUT);
    send_message(0);
    complete(&overlapped, 0, 0);
    CHECK(WaitForSingleObject(file, 100) == WAIT_OBJECT_0);

    /* A completion port. */
    port = CreateIoCompletionPort(file, NULL, 0x1234, 0);
    CHECK(port != NULL);
    begin(&overlapped);
    complete(&overlapped, 0, 0);
    SAME(packet(&overlapped), "1 0 0 key 1234, 1 0 0");
    begin(&overlapped);
    complete(&overlapped, 0, 100000);
    SAME(packet(&overlapped), "1 0 100000 key 1234, 1 0 100000");
    begin(&overlapped);
    complete(&overlapped, INVALID, 0);
    SAME(packet(&overlapped), "0 234 0 key 1234, 0 87 0");
    begin(&overlapped);
    complete(&overlapped, CANCELLED, 0);
    SAME(packet(&overlapped), "0 995 0 key 1234, 0 995 0");
    SAME(packet(&overlapped), "none 258");
    overlapped.hEvent = without_packet(quiet);
    begin(&overlapped);
    complete(&overlapped, 0, 0);
    SAME(packet(&overlapped), "none 258");
    overlapped.hEvent = NULL;
    CHECK(SetFileCompletionNotificationModes(file, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS));
    begin(&overlapped);
    complete(&overlapped, 0, 0);
    SAME(packet(&overlapped), "1 0 0 key 1234, 1 0 0");

    /* The system's own cancelling does not know our requests. */
    CHECK(!CancelIoEx(file, &overlapped) && GetLastError() == ERROR_NOT_FOUND);
    soak();

    /* NUL: a write of as many bytes is the packet. Failures look like success there. */
    HANDLE nul = CreateFileA("NUL", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    CHECK(nul != INVALID_HANDLE_VALUE && CreateIoCompletionPort(nul, port, 0x5678, 0) == port);
    begin(&overlapped);
    overlapped.Internal = (ULONG)INVALID;
    CHECK(NtWriteFile(nul, NULL, NULL, &overlapped, &block, bytes, 4096, &start, NULL) == 0);
    SAME(packet(&overlapped), "1 0 4096 key 5678, 0 87 0");
    return passed();
}
