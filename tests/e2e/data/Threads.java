import java.net.*;
import java.io.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

/** Threads, locks, garbage collection under pressure, sockets on loopback, a process, exceptions from hardware faults. */
public class Threads {
    static long contended;

    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Long>> sums = new ArrayList<>();
        for (int t = 0; t < 16; t++) {
            final int seed = t;
            sums.add(pool.submit(() -> {
                long s = 0;
                for (int i = 0; i < 200000; i++) {
                    byte[] garbage = new byte[(i * 31 + seed) % 1024];
                    s += garbage.length;
                    if (i % 100 == 0)
                        synchronized (Threads.class) { contended++; }
                }
                return s;
            }));
        }
        long total = 0;
        for (Future<Long> f : sums)
            total += f.get();
        System.out.println(total + " " + contended);

        ServerSocket server = new ServerSocket(0, 10, InetAddress.getLoopbackAddress());
        Future<String> heard = pool.submit(() -> {
            try (Socket s = server.accept(); BufferedReader r = new BufferedReader(new InputStreamReader(s.getInputStream()))) {
                s.getOutputStream().write("hello\n".getBytes());
                return r.readLine();
            }
        });
        try (Socket s = new Socket(server.getInetAddress(), server.getLocalPort())) {
            s.getOutputStream().write("good day\n".getBytes());
            System.out.println(new BufferedReader(new InputStreamReader(s.getInputStream())).readLine() + " " + heard.get());
        }

        CyclicBarrier barrier = new CyclicBarrier(4);
        AtomicInteger rounds = new AtomicInteger();
        for (int t = 0; t < 4; t++)
            pool.submit(() -> { for (int i = 0; i < 500; i++) { barrier.await(); rounds.incrementAndGet(); } return null; });
        pool.shutdown();
        System.out.println(pool.awaitTermination(60, TimeUnit.SECONDS) + " " + rounds);

        String nothing = args.length > 100 ? "x" : null;
        try { System.out.println(nothing.length()); } catch (NullPointerException e) { System.out.println("null"); }
        try { System.out.println(1 / args.length); } catch (ArithmeticException e) { System.out.println(e.getMessage()); }
        try { recurse(0); } catch (StackOverflowError e) { System.out.println("overflow"); }
        Process p = new ProcessBuilder("sh", "-c", "read x; echo got $x; exit 5").redirectErrorStream(true).start();
        p.getOutputStream().write("it\n".getBytes());
        p.getOutputStream().close();
        System.out.println(new String(p.getInputStream().readAllBytes()).trim() + " " + p.waitFor());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.exit(3);
    }

    static int recurse(int n) { return recurse(n + 1) + 1; }
}
