// Cases of gRPC's interop client in one JVM, each with a channel of its own, for the tests.
//
//   java -cp 'libs/*' Interop.java HOST PORT USE_OKHTTP CASE...
//
// Prints "CASE ok", or "CASE failed: " and why on one line.

import io.grpc.testing.integration.TestServiceClient;

class Interop {
    public static void main(String[] words) {
        for (int n = 3; n < words.length; n++) {
            String said = "ok";
            try {
                TestServiceClient.main(new String[] {
                    "--server_host=" + words[0], "--server_port=" + words[1], "--use_tls=false",
                    "--use_okhttp=" + words[2], "--test_case=" + words[n],
                });
            } catch (Throwable thrown) {
                StringBuilder why = new StringBuilder("failed:");
                for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
                    why.append(" ").append(String.valueOf(cause).replaceAll("\\s+", " "));
                }
                said = why.toString();
            }
            System.out.println(words[n] + " " + said);
        }
        System.exit(0);
    }
}
