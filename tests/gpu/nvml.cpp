// A stand-in for libnvidia-ml.so.1: one hot device, with the UUID of device 1 of the stand-in for the driver.
#include <cstdint>
#include <cstring>

#define API extern "C" __attribute__((visibility("default"))) int

API nvmlInit_v2() { return 0; }
API nvmlShutdown() { return 0; }
API nvmlSystemGetDriverVersion(char* version, unsigned) { return strcpy(version, "535.183.01"), 0; }
API nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
    *device = (void*)1;
    return strcmp(uuid, "GPU-a1000000-0000-0000-0000-000000000000") ? 6 : 0;  // 6: not found
}
API nvmlDeviceGetClockInfo(void*, unsigned clock, unsigned* mhz) { return *mhz = clock == 1 ? 1200 : 2619, 0; }
API nvmlDeviceGetMaxClockInfo(void*, unsigned clock, unsigned* mhz) { return *mhz = clock == 1 ? 1980 : 2619, 0; }
API nvmlDeviceGetTemperature(void*, unsigned, unsigned* degrees) { return *degrees = 88, 0; }
API nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) { return *reasons = 0x20, 0; }
